"""Follows every emitter's numbers in one partition (I10)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from uuid import UUID

from consumers.bank.audit.judged import Judged
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
        due = self._due
        self._unjudged += judged.unjudged
        for emitter, found, offset in judged.emitters:
            expected, last = due.get(emitter, (0 if self._complete else found, -1))
            if found - expected > self._unjudged_between(last, offset):
                self._evidence.broken(
                    "I10",
                    f"emitter {UUID(bytes=emitter)}, partition {self._partition}: "
                    f"{found - expected} records missing before offset {offset} "
                    f"(expected number {expected}, found {found})",
                )
            due[emitter] = (max(expected, found + 1), offset)
        self._evidence.saw("I10", len(judged.emitters))

    def _unjudged_between(self, after: int, before: int) -> int:
        """How many records in between were set aside without being read: they may be
        the ones that are missing."""
        if not self._unjudged:
            return 0
        return bisect_left(self._unjudged, before) - bisect_right(self._unjudged, after)
