"""Ids: their one spelling, and those that are made here.

UUIDs of version 7, by the time, and 8, of one's own content (RFC 9562, 5.7 and 5.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
)
from pydantic_core import core_schema

_SPELLING = (
    "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
)
MADE_HERE = 8  # the version of ids made from Idempotency-Keys


class _Spelled:
    """A UUID that is read from its one spelling only (RFC 9562, 4).

    Capitals are the same letters. So no two texts that a proxy or a log tells apart
    mean one transfer.
    """

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        spelled = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern=_SPELLING, strict=True),
                core_schema.uuid_schema(strict=False),
            ]
        )
        made = core_schema.is_instance_schema(UUID)
        either = core_schema.union_schema([made, spelled], mode="left_to_right")
        return core_schema.custom_error_schema(
            core_schema.json_or_python_schema(spelled, either),
            custom_error_type="transfer_id",
            custom_error_message="must be a UUID, as "
            "0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c4d",
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


def _not_nil(transfer_id: UUID) -> UUID:
    if not transfer_id.int:  # in results it stands for an id that was unreadable
        raise ValueError("must not be all zero")
    return transfer_id


def _not_made_here(transfer_id: UUID) -> UUID:
    # Whoever knows a client's name and key knows such an id, and could take it.
    if transfer_id.int >> 76 & 0xF == MADE_HERE:
        raise ValueError("must not be of version 8: such ids are made here, of keys")
    return transfer_id


TransferId = Annotated[UUID, _Spelled, AfterValidator(_not_nil)]
NewTransferId = Annotated[TransferId, AfterValidator(_not_made_here)]
_NEW: TypeAdapter[UUID] = TypeAdapter(NewTransferId)


def new_transfer_id_of(text: str) -> UUID:
    """The id of a transfer to send, from its spelling. Raises ValueError."""
    return _NEW.validate_python(text)


def spelled(transfer_ids: Sequence[bytes]) -> list[str]:
    """The texts of many ids, for a fifth of what UUID takes."""
    digits = b"".join(transfer_ids).hex()
    return [
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-"
        f"{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        for at in range(0, len(digits), 32)
    ]


def uuid7s(
    count: int, now_ms: int | NDArray[np.int64], random: np.random.Generator
) -> list[bytes]:
    """UUIDs of version 7: time-ordered, so indexes stay warm. One time, or one each."""
    octets = np.frombuffer(random.bytes(16 * count), np.uint8).reshape(count, 16).copy()
    times = np.atleast_1d(now_ms).astype(">u8").view(np.uint8).reshape(-1, 8)
    octets[:, :6] = times[:, 2:]
    octets[:, 6] = octets[:, 6] & 0x0F | 0x70
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    ids: list[bytes] = octets.view("V16").ravel().tolist()
    return ids


def uuid7(now_ms: int, random: np.random.Generator) -> UUID:
    """One UUID of version 7, of that time."""
    (new,) = uuid7s(1, now_ms, random)
    return UUID(bytes=new)


def uuid8(content: bytes) -> UUID:
    """The UUID of version 8 of these 16 bytes: six bits become version and variant."""
    octets = bytearray(content)
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return UUID(bytes=bytes(octets))
