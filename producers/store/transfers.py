"""Transfers on their way out: a chunk of them by the column, and one line of input."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MEMO_BYTES_MAX = 140
INT64_MAX = 2**63 - 1

AccountNumber = Annotated[int, Field(gt=0, le=INT64_MAX)]


class TransferLine(BaseModel):
    """One transfer as a client writes it, in JSON.

    `transfer_id` is the client's: kept by it before the first send, the same in every
    retry. `amount` is in minor units (cents).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transfer_id: UUID
    debit_account: AccountNumber
    credit_account: AccountNumber
    amount: Annotated[int, Field(gt=0, le=INT64_MAX)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    memo: str = ""
    created_at_ms: Annotated[int, Field(ge=0, le=253_402_300_799_999)] = Field(
        default_factory=lambda: now_ms()
    )

    @field_validator("transfer_id")
    @classmethod
    def _is_an_id(cls, transfer_id: UUID) -> UUID:
        if not transfer_id.int:  # in results it stands for an id that was unreadable
            raise ValueError("must not be all zero")
        return transfer_id

    @field_validator("memo")
    @classmethod
    def _memo_fits(cls, memo: str) -> str:
        if "\x00" in memo:
            raise ValueError("must not hold a NUL")
        if len(memo.encode()) > MEMO_BYTES_MAX:
            raise ValueError(f"must have at most {MEMO_BYTES_MAX} bytes")
        return memo

    @model_validator(mode="after")
    def _accounts_differ(self) -> Self:
        if self.debit_account == self.credit_account:
            raise ValueError("debit_account and credit_account must differ")
        return self


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Chunk:
    """Transfers for one Kafka transaction, by the column, in the order of sending."""

    transfer_ids: Sequence[bytes] = field(default_factory=list)
    debit_accounts: Sequence[int] = field(default_factory=list)
    credit_accounts: Sequence[int] = field(default_factory=list)
    amounts: Sequence[int] = field(default_factory=list)
    currencies: Sequence[bytes] = field(default_factory=list)
    memos: Sequence[str] = field(default_factory=list)
    created_at_ms: Sequence[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.transfer_ids)

    @classmethod
    def of(cls, lines: Sequence[TransferLine]) -> Chunk:
        """The chunk of these lines."""
        return cls(
            [line.transfer_id.bytes for line in lines],
            [line.debit_account for line in lines],
            [line.credit_account for line in lines],
            [line.amount for line in lines],
            [line.currency.encode() for line in lines],
            [line.memo for line in lines],
            [line.created_at_ms for line in lines],
        )
