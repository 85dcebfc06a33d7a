"""Follows every emitter's numbers in one partition (I10)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from uuid import UUID

import numpy as np

from consumers.bank.audit.judged import Emitters, Judged, Numbers
from consumers.bank.audit.report import Evidence


class Gaps:
    """What is due of every emitter; what is missing is named."""

    def __init__(self, evidence: Evidence, partition: int, complete: bool) -> None:
        """`complete`: the log is there from its beginning, so numbers start at 0."""
        self._evidence = evidence
        self._partition = partition
        self._complete = complete
        self._due: dict[bytes, tuple[int, int]] = {}  # number due, last offset
        self._unjudged: list[int] = []

    def add(self, judged: Judged) -> None:
        """Follow some more records."""
        self._unjudged += judged.unjudged
        for emitter, numbers, offsets in _by_emitter(judged.emitters):
            first = int(numbers[0])
            expected, _ = self._due.get(emitter, (0 if self._complete else first, -1))
            if first == expected and (np.diff(numbers) == 1).all():
                self._due[emitter] = (int(numbers[-1]) + 1, int(offsets[-1]))
            else:
                self._follow(emitter, numbers, offsets)
        self._evidence.saw("I10", len(judged.emitters.emitters))

    def _follow(self, emitter: bytes, numbers: Numbers, offsets: Numbers) -> None:
        """One by one: a number is missing, or comes twice."""
        for found, offset in zip(numbers.tolist(), offsets.tolist(), strict=True):
            before = (0 if self._complete else found, -1)
            expected, last = self._due.get(emitter, before)
            if found - expected > self._unjudged_between(last, offset):
                self._evidence.broken(
                    "I10",
                    f"emitter {UUID(bytes=emitter)}, partition {self._partition}: "
                    f"{found - expected} records missing before offset {offset} "
                    f"(expected number {expected}, found {found})",
                )
            self._due[emitter] = (max(expected, found + 1), offset)

    def _unjudged_between(self, after: int, before: int) -> int:
        """How many records in between were set aside without being read: they may be
        the ones that are missing."""
        if not self._unjudged:
            return 0
        return bisect_left(self._unjudged, before) - bisect_right(self._unjudged, after)


def _by_emitter(sent: Emitters) -> Iterator[tuple[bytes, Numbers, Numbers]]:
    """Numbers and offsets of each emitter, in the order of the log."""
    if not sent.emitters:
        return
    halves = np.frombuffer(b"".join(sent.emitters), ">u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable
    changes = (halves[order][1:] != halves[order][:-1]).any(axis=1)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(order)]
    for start, end in zip(starts, starts[1:], strict=False):
        mine = order[start:end]
        yield sent.emitters[int(mine[0])], sent.sequences[mine], sent.offsets[mine]
