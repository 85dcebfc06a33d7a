"""Transfers on their way out: a chunk of them by the column, and one line of input."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from producers.store.ids import TransferId

MEMO_BYTES_MAX = 140
INT64_MAX = 2**63 - 1

# What does something where a memo is shown, or cannot be seen: NUL, ESC, line ends,
# turns of direction, letters without width. (But not the joiner of emoji, U+200D.)
CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb"
)
_CONTROLS = re.compile(f"[{CONTROLS}]")


def without_controls(text: str) -> str:
    """The same text. Raises ValueError when it holds what people cannot see."""
    if _CONTROLS.search(text):
        raise ValueError("must not hold control characters")
    return text


AccountNumber = Annotated[int, Field(gt=0, le=INT64_MAX)]


class Transfer(BaseModel):
    """One transfer as a client writes it, in JSON.

    `transfer_id` is the client's: kept by it before the first send, the same in every
    retry. `amount` is in minor units (cents).
    """

    # Strict: true, "250" and 250.0 are no amounts and no accounts.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    transfer_id: TransferId
    debit_account: AccountNumber
    credit_account: AccountNumber
    amount: Annotated[
        int, Field(gt=0, le=INT64_MAX, description="over 10^12 it is declined")
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    memo: str = ""
    created_at_ms: Annotated[int, Field(ge=0, le=253_402_300_799_999)] = Field(
        default_factory=lambda: time.time_ns() // 1_000_000
    )

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


class ClientLine(Transfer):
    """The same as it comes from outside: people will look at it."""

    memo: Annotated[
        str,
        AfterValidator(without_controls),
        Field(json_schema_extra={"pattern": f"^[^{CONTROLS}]*$", "maxLength": 140}),
    ] = ""


def repeated_field(body: bytes, transfer: Transfer) -> str | None:
    """A field that is there twice in what this was read from: which one counts?

    What could be read is flat, so that without a backslash each field has two quotation
    marks, and each text that is not null two more. Only what has others is read again.
    """
    fields = transfer.model_fields_set
    texts = ("transfer_id" in fields and transfer.transfer_id is not None) + (
        "memo" in fields
    )
    quoted = len(fields) + texts + 1  # currency
    if body.count(b'"') == 2 * quoted and b"\\" not in body:
        return None
    names = field_names(body)
    return next((name for name in names if names.count(name) > 1), None)


def field_names(body: bytes) -> list[str]:
    """The name of each field, as often as it is there in what is JSON and flat."""
    names: list[str] = []
    json.loads(body, object_pairs_hook=lambda pairs: names.extend(n for n, _ in pairs))
    return names


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
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

    @property
    def accounts(self) -> Sequence[int]:
        """Whose records they are: what they are keyed by."""
        return self.debit_accounts

    @property
    def ids(self) -> Sequence[bytes]:
        """Their ids."""
        return self.transfer_ids

    @classmethod
    def of(cls, transfers: Sequence[Transfer]) -> Chunk:
        """The chunk of these transfers."""
        return cls(
            transfer_ids=[transfer.transfer_id.bytes for transfer in transfers],
            debit_accounts=[transfer.debit_account for transfer in transfers],
            credit_accounts=[transfer.credit_account for transfer in transfers],
            amounts=[transfer.amount for transfer in transfers],
            currencies=[transfer.currency.encode() for transfer in transfers],
            memos=[transfer.memo for transfer in transfers],
            created_at_ms=[transfer.created_at_ms for transfer in transfers],
        )
