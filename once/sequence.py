"""Gap detection: an emitter numbers its records per partition without holes.

A hole in what is read committed is a record that was acknowledged and lost, which
Kafka's own protocol would hide. A number seen again is no loss and is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEQUENCE_MAX = 2**63 - 1  # what a foreign producer may say, and a bigint may hold


@dataclass(frozen=True, slots=True)
class Gap:
    """`found` was read at `offset` where `expected` was due."""

    emitter: bytes
    offset: int
    expected: int
    found: int


def follow(
    marks: dict[bytes, int],
    emitters: Sequence[bytes | None],
    sequences: Sequence[int],
    offsets: Sequence[int],
) -> tuple[dict[bytes, int], list[Gap]]:
    """The new marks (next number due, by emitter) and the gaps found on the way.

    `marks` has every emitter of this partition that was seen before; a new one starts
    at 0. Rows without an emitter (foreign producers) are exempt.
    """
    distinct = set(emitters)
    if len(distinct) == 1:
        (emitter,) = distinct
        if emitter is None:
            return {}, []
        due = marks.get(emitter, 0)
        if list(sequences) == list(range(due, due + len(sequences))):
            return {emitter: min(due + len(sequences), SEQUENCE_MAX)}, []
    changed: dict[bytes, int] = {}
    gaps: list[Gap] = []
    for emitter, found, offset in zip(emitters, sequences, offsets, strict=True):
        if emitter is None:
            continue
        due = changed.get(emitter, marks.get(emitter, 0))
        if found > due:
            gaps.append(Gap(emitter, offset, due, found))
        changed[emitter] = min(max(due, found + 1), SEQUENCE_MAX)
    return changed, gaps
