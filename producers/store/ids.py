"""Ids that are made here: UUIDs of version 7, by the time, and 8, of one's own content.

Source: RFC 9562, 5.7 and 5.8.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np


def uuid7s(count: int, now_ms: int, random: np.random.Generator) -> list[bytes]:
    """UUIDs of version 7: time-ordered, so indexes stay warm."""
    octets = np.frombuffer(random.bytes(16 * count), np.uint8).reshape(count, 16).copy()
    octets[:, :6] = np.frombuffer(now_ms.to_bytes(6, "big"), np.uint8)
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
