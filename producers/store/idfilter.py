"""Whether a part of the index may know an id, without asking its file.

A Bloom filter: "no" is certain, "yes" is worth a look. Nearly every id that comes by
HTTP is new, and asking every file costs as much as the rest of a request.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
BITS_PER_ID = 10  # one in fifty says "yes" for nothing
_MASK = (1 << 64) - 1

ARRAY_IDS_MIN = 16

Probes = tuple[int, int, int]  # which bits an id has
Bits = npt.NDArray[np.uint64]  # the same of many, in three rows


class Asked(NamedTuple):
    """Ids with their bits, in one of two forms."""

    transfer_ids: Sequence[bytes]
    few: Sequence[Probes] = ()
    many: Bits | None = None


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

    def all_probes(self, packed: bytes) -> Bits:
        """The bits of many ids, one behind the other: three rows."""
        one, two, mix, *last = (np.uint64(each) for each in self._odd)
        halves = np.frombuffer(packed, "<u8").astype(np.uint64).reshape(-1, 2)
        code = halves[:, 0] * one + halves[:, 1] * two
        code = (code ^ code >> np.uint64(32)) * mix
        code ^= code >> np.uint64(29)
        return np.stack([code * each >> np.uint64(self._shift) for each in last])

    def ask(self, transfer_ids: Sequence[bytes]) -> Asked:
        """What filters are asked with: bits of few one by one, of many in array steps.

        An array costs as much as a dozen ids.
        """
        if len(transfer_ids) < ARRAY_IDS_MIN:
            return Asked(transfer_ids, few=[*map(self.probes, transfer_ids)])
        return Asked(transfer_ids, many=self.all_probes(b"".join(transfer_ids)))


class IdFilter:
    """The ids that were added, or rather some more."""

    def __init__(self, hash_: IdHash) -> None:
        self._hash = hash_
        self._octets = bytearray(1 << hash_.bits_log2 - 3)
        self._array = np.frombuffer(self._octets, np.uint8)

    def add(self, packed: bytes) -> None:
        """These ids, one behind the other."""
        places, masks = _places(self._hash.all_probes(packed))
        np.bitwise_or.at(self._array, places, masks)

    def among(self, asked: Asked) -> list[bytes]:
        """Those of the ids that may have been added."""
        if asked.many is not None:
            places, masks = _places(asked.many)
            there = (self._array[places] & masks).all(axis=0)
            return [asked.transfer_ids[row] for row in np.flatnonzero(there).tolist()]
        octets = self._octets
        return [
            transfer_id
            for transfer_id, (one, two, three) in zip(
                asked.transfer_ids, asked.few, strict=True
            )
            if octets[one >> 3] >> (one & 7) & 1
            and octets[two >> 3] >> (two & 7) & 1
            and octets[three >> 3] >> (three & 7) & 1
        ]


def _places(bits: Bits) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Octets, and the bit of each."""
    masks = np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)
    return (bits >> np.uint64(3)).astype(np.int64), masks
