"""Gap detection: an emitter numbers its records per partition without holes.

A hole in what is read committed is a record that was acknowledged and lost, which
Kafka's own protocol would hide. A number seen again is no loss and is passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
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
    changed: dict[bytes, int] = {}
    gaps: list[Gap] = []
    for emitter, first, end in runs(emitters):
        if emitter is None:
            continue
        due = changed.get(emitter, marks.get(emitter, 0))
        if list(sequences[first:end]) == list(range(due, due + end - first)):
            changed[emitter] = min(due + end - first, SEQUENCE_MAX)
            continue
        for row in range(first, end):
            found = sequences[row]
            if found > due:
                gaps.append(Gap(emitter, offsets[row], due, found))
            due = changed[emitter] = min(max(due, found + 1), SEQUENCE_MAX)
    return changed, gaps


def runs(emitters: Sequence[bytes | None]) -> Iterator[tuple[bytes | None, int, int]]:
    """Rows of one emitter that follow each other: emitter, first row, row after last.

    Emitters send thousands of records at a time, so runs are few and long.
    """
    first = 0
    for emitter, rows in itertools.groupby(emitters):
        end = first + sum(1 for _ in rows)
        yield emitter, first, end
        first = end
