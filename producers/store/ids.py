"""Ids: their one spelling, and those that are made here.

UUIDs of version 7, by the time, and 8, of one's own content (RFC 9562, 5.7 and 5.8).
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema

import numpy as np
from numpy.typing import NDArray

_SPELLING = re.compile(
    "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
)
MADE_HERE = 8  # the version of ids made from Idempotency-Keys


def transfer_id_of(text: Any) -> UUID:
    """The transfer_id that a client has written. Raises ValueError, for people.

    One spelling (RFC 9562, 4; capitals are the same letters), so that no two texts that
    a proxy or a log tells apart mean one transfer. The nil id stands in results for an
    id that was unreadable.
    """
    if isinstance(text, UUID):
        found = text
    elif isinstance(text, str) and _SPELLING.fullmatch(text):
        found = UUID(text)
    else:
        raise ValueError("must be a UUID, as 0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c4d")
    if not found.int:
        raise ValueError("must not be all zero")
    return found


def new_transfer_id_of(text: Any) -> UUID:
    """The same, of a transfer to send: not one that only a key makes."""
    found = transfer_id_of(text)
    if found.version == MADE_HERE:
        # Whoever knows a client's name and key knows this id, and could take it.
        raise ValueError("must not be of version 8: such ids are made here, of keys")
    return found


TransferId = Annotated[
    UUID,
    BeforeValidator(transfer_id_of),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
NewTransferId = Annotated[
    UUID,
    BeforeValidator(new_transfer_id_of),
    WithJsonSchema({"type": "string", "format": "uuid"}),
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


def uuid8(content: bytes) -> UUID:
    """The UUID of version 8 of these 16 bytes: six bits become version and variant."""
    octets = bytearray(content)
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return UUID(bytes=bytes(octets))
