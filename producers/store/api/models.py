"""What the API takes and gives, as JSON."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from producers.store.problems import FieldError, Kind, Problem
from producers.store.states import State, Status
from producers.store.transfers import TransferLine

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
    errors: list[WrongField] = []


class BatchAnswer(BaseModel):
    """The answer to one line of a batch: a status, or what is wrong with the line."""

    line: Annotated[int, Field(description="from 1")]
    transfer_id: UUID | None = None
    state: State | None = None
    reason: str | None = None
    first_state: FirstState = None
    problem: ProblemDetails | None = None


_LINE = TypeAdapter(TransferLine)


def parse_line(body: bytes, transfer_id: UUID | None = None) -> TransferLine:
    """A transfer from JSON; `transfer_id`, if given, is that of the URL or the key.

    Raises Problem that names the wrong fields.
    """
    try:
        if transfer_id is None:
            return _LINE.validate_json(body)
        fields = _OBJECT.validate_json(body)
        said = fields.setdefault("transfer_id", str(transfer_id))
        line = _LINE.validate_python(fields)
    except ValidationError as error:
        raise _problem(error) from None
    if line.transfer_id != transfer_id:
        detail = f"is {said} in the body and {transfer_id} outside it"
        raise invalid([FieldError("transfer_id", detail)])
    return line


_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def invalid(errors: list[FieldError]) -> Problem:
    """The problem of a request with these wrong fields."""
    names = ", ".join(sorted({each.field for each in errors}))
    return Problem(Kind.INVALID_REQUEST, f"Look at {names}.", errors=tuple(errors))


def _problem(error: ValidationError) -> Problem:
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


def status_fields(transfer_id: UUID, status: Status) -> str:
    """The fields of a TransferStatus in JSON, made by hand: this is the hot path."""
    more = f',"reason":"{status.reason}"' if status.reason else ""
    if status.first:
        more += f',"first_state":"{status.first.value}"'
    return f'"transfer_id":"{transfer_id}","state":"{status.state.value}"{more}'


def status_json(transfer_id: UUID, status: Status) -> str:
    """A TransferStatus in JSON."""
    return f"{{{status_fields(transfer_id, status)}}}"
