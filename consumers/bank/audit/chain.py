"""Recomputes the hash chain of one partition from the log (I6)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import numpy as np

from consumers.bank.audit.judged import Judged, Numbers
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import Evidence
from once.chain import GENESIS

_NONE = np.zeros(0, np.int64)


class Chain:
    """Holds every batch of a partition against the records that it says it has."""

    def __init__(
        self,
        evidence: Evidence,
        snapshot: Snapshot,
        topic: str,
        partition: int,
        low: int,
    ) -> None:
        """`low` is where the log of the partition begins."""
        self._evidence = evidence
        self._where = f"{topic}[{partition}]"
        self._low = low
        self._batches = snapshot.batches(topic, partition)
        self._batch = next(self._batches, None)
        self._previous: tuple[int, int, bytes] = (0, -1, GENESIS)
        # Records that no batch was compared with yet, from the row `_at` on.
        self._offsets: Numbers = _NONE
        self._values: list[bytes | None] = []
        self._verdicts = b""
        self._at = 0

    def add(self, judged: Judged) -> None:
        """More records; every batch that they complete is compared."""
        self._offsets = np.concatenate((self._offsets[self._at :], judged.offsets))
        self._values = self._values[self._at :] + judged.values
        self._verdicts = self._verdicts[self._at :] + bytes(judged.verdicts)
        self._at = 0
        while (
            self._batch is not None
            and self._at < len(self._offsets)
            and self._offsets[-1] >= self._batch[2]
        ):
            self._compare()

    def end(self, until: int, batch_number: int) -> None:
        """All records are there: what is left over is wrong."""
        while self._batch is not None:
            self._compare()
        number, last, _ = self._previous
        if (number, last + 1) != (batch_number, until) and batch_number:
            self._broken(
                f"position says batch {batch_number} and offset {until}, the last "
                f"batch is {number} and ends at {last}"
            )
        if self._at < len(self._offsets):
            self._broken(f"offset {self._offsets[self._at]} is in no batch")

    def _compare(self) -> None:
        assert self._batch is not None, "there is a batch to compare"
        number, first, last, count, digest = self._batch
        self._batch = next(self._batches, None)
        before, before_last, before_hash = self._previous
        self._previous = (number, last, digest)
        self._evidence.saw("I6")
        if number != before + 1 or first <= before_last:
            self._broken(
                f"batch {number} from {first} follows {before} to {before_last}"
            )
        start = self._at
        self._at += int(np.searchsorted(self._offsets[start:], last, "right"))
        mine = slice(start, self._at)
        if first < self._low:
            return  # retention has taken some; the next batch builds on its hash
        offsets = self._offsets[mine]
        ends = (int(offsets[0]), int(offsets[-1])) if len(offsets) else None
        if ends != (first, last) or len(offsets) != count:
            self._broken(
                f"batch {number} says {count} records {first}..{last}, the log "
                f"has {len(offsets)}: {offsets[:1].tolist()}..{offsets[-1:].tolist()}"
            )
        elif (
            linked(before_hash, offsets, self._values[mine], self._verdicts[mine])
            != digest
        ):
            self._broken(f"batch {number} ({first}..{last}) hashes differently")

    def _broken(self, finding: str) -> None:
        self._evidence.broken("I6", f"{self._where}: {finding}")


def linked(
    before: bytes, offsets: Numbers, values: Sequence[bytes | None], verdicts: bytes
) -> bytes:
    """The next hash, by the definition in docs/invariants.md."""
    lengths = np.array([-1 if value is None else len(value) for value in values], ">i8")
    parts = [
        before,
        struct.pack(">q", len(values)),
        offsets.astype(">i8").tobytes(),
        lengths.tobytes(),
        *(value for value in values if value is not None),
        verdicts,
    ]
    return hashlib.sha256(b"".join(parts)).digest()
