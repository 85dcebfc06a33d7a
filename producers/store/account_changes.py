"""Changes of accounts on their way out: as a client writes one, and a chunk of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import fastavro
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from once import resources
from once.registry import Registry, frame, load_schema
from producers.store.ids import TransferId
from producers.store.transfers import CONTROLS, AccountNumber, without_controls

REASON_BYTES_MAX = 140
CHANGED_BY_BYTES_MAX = 1_020  # 255 letters
CREDIT_LIMIT_MAX = 10**18
SCHEMA = "avro/account-change.avsc"

AccountStatus = Literal["open", "frozen", "closed"]


def subject_of(topic: str) -> str:
    """Under which name the registry has the schema: one topic, two kinds of records."""
    return f"{topic}-once.payments.AccountChange"


def _fits(text: str, most: int) -> str:
    if len(text.encode()) > most:
        raise ValueError(f"must have at most {most} bytes")
    return text


Reason = Annotated[
    str,
    AfterValidator(without_controls),
    AfterValidator(lambda text: _fits(text, REASON_BYTES_MAX)),
    Field(json_schema_extra={"pattern": f"^[^{CONTROLS}]*$", "maxLength": 140}),
]


class AccountChange(BaseModel):
    """One change of an account as it is asked for.

    `currency`, `credit_limit` (minor units) and `status` stay as they are where they
    are None. `change_id` is kept before the first send, the same in every retry. With
    `must_be_new` and nothing else it only asks whether there is such an account.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    change_id: TransferId
    account: AccountNumber
    must_be_new: bool = False
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    credit_limit: Annotated[int, Field(ge=0, le=CREDIT_LIMIT_MAX)] | None = None
    status: AccountStatus | None = None
    reason: Reason = ""
    changed_by: Annotated[
        str, AfterValidator(lambda text: _fits(text, CHANGED_BY_BYTES_MAX))
    ] = ""
    created_at_ms: int

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        asked = (self.currency, self.credit_limit, self.status)
        if all(each is None for each in asked) and not self.must_be_new:
            raise ValueError("must name a currency, a credit_limit or a status")
        return self


@dataclass(frozen=True, slots=True)
class ChangeChunk:
    """Changes for one Kafka transaction, in the order of sending."""

    changes: Sequence[AccountChange]

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def accounts(self) -> Sequence[int]:
        """Whose records they are: what they are keyed by."""
        return [change.account for change in self.changes]

    @property
    def ids(self) -> list[bytes]:
        """Their ids."""
        return [change.change_id.bytes for change in self.changes]


class ChangeWriter:
    """Encodes changes for one topic."""

    def __init__(self, registry: Registry, topic: str) -> None:
        """Raises Retriable, and Defect while the schema is not registered."""
        schema = load_schema(resources.find(SCHEMA))
        self._frame = frame(registry.id_of(subject_of(topic), schema))
        self._schema = fastavro.parse_schema(schema)

    def write(
        self, chunk: ChangeChunk, emitter: bytes, sequences: Sequence[int]
    ) -> list[bytes]:
        """Values of the records, each with its number in its partition."""
        return [
            self._write(change, emitter, sequence)
            for change, sequence in zip(chunk.changes, sequences, strict=True)
        ]

    def _write(self, change: AccountChange, emitter: bytes, sequence: int) -> bytes:
        out = io.BytesIO()
        out.write(self._frame)
        record: dict[str, Any] = {
            **change.model_dump(),
            "change_id": change.change_id.bytes,
            "currency": change.currency and change.currency.encode(),
            "status": change.status and change.status.upper(),
            "emitter": emitter,
            "emitter_sequence": sequence,
        }
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()
