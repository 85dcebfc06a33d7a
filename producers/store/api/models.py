"""What the API takes and gives, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from producers.store.ids import NewTransferId, TransferId
from producers.store.problems import FieldError, Kind, Problem
from producers.store.states import State, Status
from producers.store.transfers import ClientLine, Transfer, repeated_field

# An answer is not much larger than its question.
ERRORS_MAX, NAME_LETTERS_MAX = 10, 64
QUOTES_MAX = 200  # in one transfer, around names and texts: more is not even parsed

FirstState = Annotated[
    State | None,
    Field(
        description="of what exists: posted or declined (for that reason) when the "
        "payment came first; absent: not known here"
    ),
]


class TransferStatus(BaseModel):
    """A transfer and how far it is."""

    model_config = ConfigDict(frozen=True)

    transfer_id: UUID
    state: Annotated[
        State,
        Field(
            description="queued and committed may change; posted, declined, exists, "
            "conflict and quarantined are final"
        ),
    ]
    reason: Annotated[str | None, Field(description="why it was declined")] = None
    first_state: FirstState = None


class WrongField(BaseModel):
    """One field that breaks a rule."""

    field: str
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457; `code` is stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    transfer_id: UUID | None = None
    errors: list[WrongField] = []


class BatchAnswer(BaseModel):
    """The answer to one line of a batch: a status, or what is wrong with the line."""

    line: Annotated[int, Field(description="from 1")]
    transfer_id: UUID | None = None
    state: State | None = None
    reason: str | None = None
    first_state: FirstState = None
    problem: ProblemDetails | None = None


class BatchLine(ClientLine):
    """A line of a batch: under an id that its client may choose."""

    transfer_id: NewTransferId


class Payment(ClientLine):
    """The same where the id may be said outside of it: in the URL, or as a key."""

    transfer_id: TransferId | None = None  # type: ignore[assignment]


_LINE, _PAYMENT = TypeAdapter(BatchLine), TypeAdapter(Payment)


def parse_line(body: bytes, transfer_id: UUID | None = None) -> Transfer:
    """A transfer from JSON; `transfer_id`, if given, is that of the URL or the key.

    Raises Problem that names the wrong fields.
    """
    if body.count(b'"') - body.count(b'\\"') > QUOTES_MAX:
        raise _too_many_fields()
    try:
        transfer = (_LINE if transfer_id is None else _PAYMENT).validate_json(body)
    except ValidationError as error:
        raise problem_of(error) from None
    repeated = repeated_field(body, transfer)
    if repeated is not None:
        raise invalid([FieldError(repeated, "is there more than once")])
    if transfer_id is None:
        return transfer
    if transfer.transfer_id is None:
        # It is frozen for those who get it; a copy would cost more than the reading.
        object.__setattr__(transfer, "transfer_id", transfer_id)
        return transfer
    if transfer.transfer_id != transfer_id:
        detail = f"is {transfer.transfer_id} in the body and {transfer_id} outside it"
        raise invalid([FieldError("transfer_id", detail)])
    return transfer


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The problem of a request with these wrong fields; of many, the first ones."""
    told = [
        FieldError(each.field[:NAME_LETTERS_MAX], each.detail)
        for each in errors[:ERRORS_MAX]
    ]
    names = ", ".join(sorted({each.field for each in told}))
    more = f" and {len(errors) - ERRORS_MAX} more" if len(errors) > ERRORS_MAX else ""
    detail = f"Look at {names}{more}."
    return Problem(Kind.INVALID_REQUEST, detail, errors=tuple(told))


def _too_many_fields() -> Problem:
    known = ", ".join(Transfer.model_fields)
    detail = f"It has far too many fields; those of a transfer are {known}."
    return Problem(Kind.INVALID_REQUEST, detail)


def problem_of(error: ValidationError) -> Problem:
    """What is wrong with a body that could not be read as what it should be."""
    details = error.errors(
        include_url=False, include_input=False, include_context=False
    )
    if details[0]["type"] == "json_invalid":
        return Problem(Kind.MALFORMED_JSON, f"{details[0]['msg']}.")
    return invalid(
        [
            FieldError(
                ".".join(map(str, each["loc"])) or "body",
                each["msg"].removeprefix("Value error, "),
            )
            for each in details
        ]
    )


def status_fields(transfer_id: str, status: Status) -> str:
    """The fields of a TransferStatus in JSON, made by hand: this is the hot path."""
    more = f',"reason":"{status.reason}"' if status.reason else ""
    if status.first:
        more += f',"first_state":"{status.first.value}"'
    return f'"transfer_id":"{transfer_id}","state":"{status.state.value}"{more}'


def status_json(transfer_id: UUID, status: Status) -> str:
    """A TransferStatus in JSON."""
    return f"{{{status_fields(str(transfer_id), status)}}}"
