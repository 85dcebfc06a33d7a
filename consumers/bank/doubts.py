"""Stops before the registry's mishap condemns a whole log.

A registry that was restored, set up anew or asked in the wrong place knows no id any
more, and every record behind it would go to quarantine, thousands a second. Records
that read as rightly keyed transfers, and that only the registry stands against, are no
garbage: so many of them in a row are a person's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from consumers.bank.batch import Slice
from once.errors import Refused


class Doubts:
    """Counts doubtful records in a row, per partition."""

    def __init__(self, in_a_row_max: int) -> None:
        self._in_a_row_max = in_a_row_max
        self._in_a_row: dict[int, int] = {}

    def check(self, topic: str, slices: Sequence[Slice]) -> None:
        """Raises Refused for a partition, before anything of these is posted."""
        for piece in slices:
            longest = self._follow(piece)
            if longest > self._in_a_row_max:
                fault = next(f for f in piece.faults.values() if f.doubtful)
                raise Refused(
                    f"{topic}[{piece.partition}]: {longest} records in a row read as "
                    f"payments, and the registry's word alone is against them "
                    f"({fault.reason}: {fault.detail}); nothing of them was set aside "
                    "in this batch; was the registry restored, or a schema deleted? "
                    "See docs/runbooks/quarantine.md",
                    piece.partition,
                )

    def _follow(self, piece: Slice) -> int:
        """The longest run in this slice, with what came before it."""
        if not piece.faults:
            self._in_a_row.pop(piece.partition, None)
            return 0
        run = self._in_a_row.get(piece.partition, 0)
        longest = 0
        for row in range(len(piece.records.offsets)):
            fault = piece.faults.get(row)
            if fault is None:
                run = 0
            elif fault.doubtful:
                run += 1
                longest = max(longest, run)
        self._in_a_row[piece.partition] = run
        return longest
