"""Whether a part of the index may know an id, without asking its file.

A Bloom filter: "no" is certain, "yes" is worth a look. Nearly every id that comes by
HTTP is new, and asking every file costs as much as the rest of a request.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
BITS_PER_ID = 10  # one in fifty says "yes" for nothing
_MASK = (1 << 64) - 1

Probes = tuple[int, int, int]  # which bits an id has


class IdHash:
    """Bits of ids, for filters of one size. Salted: nobody can choose ids that meet."""

    def __init__(self, ids_max: int) -> None:
        self.bits_log2 = max(16, (ids_max * BITS_PER_ID - 1).bit_length())
        self._shift = 64 - self.bits_log2
        self._odd = [secrets.randbits(64) | 1 for _ in range(6)]

    def probes(self, transfer_id: bytes) -> Probes:
        """The bits of one id."""
        one, two, mix, *last = self._odd
        high = int.from_bytes(transfer_id[:8], "little") * one
        low = int.from_bytes(transfer_id[8:], "little") * two
        code = (high + low) & _MASK
        code = ((code ^ code >> 32) * mix) & _MASK
        code ^= code >> 29
        shift = self._shift
        return (
            (code * last[0] & _MASK) >> shift,
            (code * last[1] & _MASK) >> shift,
            (code * last[2] & _MASK) >> shift,
        )

    def all_probes(self, packed: bytes) -> npt.NDArray[np.uint64]:
        """The bits of many ids, one behind the other, in no order."""
        one, two, mix, *last = (np.uint64(each) for each in self._odd)
        halves = np.frombuffer(packed, "<u8").astype(np.uint64).reshape(-1, 2)
        code = halves[:, 0] * one + halves[:, 1] * two
        code = (code ^ code >> np.uint64(32)) * mix
        code ^= code >> np.uint64(29)
        return np.concatenate([code * each >> np.uint64(self._shift) for each in last])


class IdFilter:
    """The ids that were added, or rather some more."""

    def __init__(self, hash_: IdHash) -> None:
        self._hash = hash_
        self._octets = bytearray(1 << hash_.bits_log2 - 3)
        self._array = np.frombuffer(self._octets, np.uint8)

    def add(self, packed: bytes) -> None:
        """These ids, one behind the other."""
        bits = self._hash.all_probes(packed)
        masks = np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(self._array, (bits >> np.uint64(3)).astype(np.int64), masks)

    def among(self, asked: Sequence[tuple[bytes, Probes]]) -> list[bytes]:
        """Those of the ids, with their bits, that may have been added."""
        octets = self._octets
        return [
            transfer_id
            for transfer_id, (one, two, three) in asked
            if octets[one >> 3] >> (one & 7) & 1
            and octets[two >> 3] >> (two & 7) & 1
            and octets[three >> 3] >> (three & 7) & 1
        ]
