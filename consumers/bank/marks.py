"""The emitters' sequences, followed from batch to batch (see once/sequence.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumers.bank.batch import Slice
from consumers.bank.ledger import Ledger
from once.sequence import Gap, follow

NEAR_OFFSETS = 100_000  # how far before a gap its records may lie in quarantine
REMEMBERED_MAX = 100_000  # emitters; a foreign producer may name one per record


class Marks:
    """The number due next from each emitter, by partition, kept between batches."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._due: dict[int, dict[bytes, int]] = {}

    def follow(
        self, slices: Sequence[Slice]
    ) -> tuple[dict[int, dict[bytes, int]], dict[int, list[Gap]]]:
        """Write down the marks that moved and the gaps found; both, by partition.

        Raises psycopg.Error.
        """
        if sum(map(len, self._due.values())) > REMEMBERED_MAX:
            self._due.clear()
        marks: dict[int, dict[bytes, int]] = {}
        gaps: dict[int, list[Gap]] = {}
        for piece in slices:
            emitters, sequences, offsets = piece.numbered
            mine = self._due.setdefault(piece.partition, {})
            unseen = {e for e in set(emitters) if e is not None and e not in mine}
            if unseen:
                mine.update(self._ledger.marks(piece.partition, unseen))
            moved, found = follow(mine, emitters, sequences, offsets)
            if moved:
                marks[piece.partition] = moved
            lost = [gap for gap in found if not self._set_aside(piece.partition, gap)]
            if lost:
                gaps[piece.partition] = lost
        if marks:
            self._ledger.save_marks(marks)
        if gaps:
            self._ledger.insert_gaps(gaps)
        return marks, gaps

    def _set_aside(self, partition: int, gap: Gap) -> bool:
        """Whether the missing records may be in quarantine, where nobody could read
        whose they were."""
        unread = self._ledger.unread_between(
            partition, gap.offset - NEAR_OFFSETS, gap.offset
        )
        return gap.found - gap.expected <= unread

    def remember(self, marks: Mapping[int, Mapping[bytes, int]]) -> None:
        """What a committed batch has moved."""
        for partition, moved in marks.items():
            self._due.setdefault(partition, {}).update(moved)

    def forget(self) -> None:
        """Read all from the ledger again."""
        self._due.clear()
