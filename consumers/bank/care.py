"""Finds the record that ends workers, whatever it does to them, and sets it aside.

Every session notes in Postgres that it began at a position. Two that began at the
same one and did not get beyond it are a reason for care: from there on batches are
small, and each is noted before it is read. A batch that was noted and never ended is
tried again with a sixteenth of its records, down to one; behind it, batches grow again,
each twice as large: how many records happened to be there says nothing, and it may be
the size that ends workers. A single record that has ended workers `ATTEMPTS_MAX` times
is set aside, unread. What is noted outlives the process, so it counts also when that
dies of a signal, or is killed because it hangs.

A session that ends in order (an outage, a rebalance) takes its note back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

OPENS_MAX = 2  # sessions at one position; idle ones count too, and cost little
SHRINK = 16
ATTEMPTS_MAX = 3
# More records than so many an hour in one partition, and it is not the records.
ASIDE_AN_HOUR_MAX = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """What is noted of a partition: see table `trials`."""

    next_offset: int
    opens: int
    records: int | None
    attempts: int
    suspect_until: int


class Suspect(NamedTuple):
    """A batch of one partition that is noted before it is read."""

    position: int
    records: int
    until: int  # what lies below this offset is suspect


class Owed(NamedTuple):
    """What a session that ended in order takes back."""

    position: int
    noted: bool  # its last batch was noted, and did not end


@dataclass(slots=True)
class _Watched:
    records_max: int
    until: int
    attempts: int  # of a single record
    ahead: int  # records that are left of the batch that did not end
    begun: int = 0  # records of the batch that is being read


class Care:
    """Which partitions of this worker are handled with care; outlives its sessions."""

    def __init__(self, batch_records_max: int) -> None:
        self._batch_records_max = batch_records_max
        self._watched: dict[int, _Watched] = {}
        self._open: dict[int, Owed] = {}
        self.owed: dict[int, Owed] = {}

    def opened(self, trials: Mapping[int, Trial]) -> None:
        """These partitions are ours, and this is noted of them."""
        for partition, trial in trials.items():
            self._watched.pop(partition, None)
            self._open[partition] = Owed(trial.next_offset, noted=False)
            if trial.opens >= OPENS_MAX or trial.next_offset < trial.suspect_until:
                self._watched[partition] = self._watch(trial)

    def refused(self, trials: Mapping[int, Trial]) -> None:
        """They are not read: that they were opened says nothing against them."""
        for partition, trial in trials.items():
            self.owed[partition] = Owed(trial.next_offset, noted=False)

    def _watch(self, trial: Trial) -> _Watched:
        most, ahead = self._careful, 0
        attempts = trial.attempts if trial.records == 1 else 0
        if trial.records:  # of a batch that began here and did not end
            ahead = trial.records
            most = max(1, ahead // SHRINK) if trial.attempts else ahead
        until = trial.suspect_until
        if trial.opens >= OPENS_MAX:
            # Offsets have gaps: twice as many as the largest batch has records.
            until = max(until, trial.next_offset + 2 * self._batch_records_max)
        return _Watched(most, until, attempts, ahead)

    @property
    def _careful(self) -> int:
        """How large a batch is while nobody knows which records are to blame."""
        return max(1, self._batch_records_max // SHRINK)

    def leave(self, partitions: Iterable[int]) -> dict[int, Owed]:
        """Give these partitions up in order; what is owed for all left so far."""
        for partition in partitions:
            self._watched.pop(partition, None)
            if (owed := self._open.pop(partition, None)) is not None:
                self.owed[partition] = owed
        return self.owed

    def blame(self) -> None:
        """This session ends over its records: nothing is taken back."""
        self._open.clear()
        self._watched.clear()

    def settled(self) -> None:
        """What was owed is taken back."""
        self.owed = {}

    @property
    def needed(self) -> bool:
        """Whether any partition is handled with care."""
        return bool(self._watched)

    @property
    def records_max(self) -> int:
        """How many records may be read at once."""
        sizes = (each.records_max for each in self._watched.values())
        return min(sizes, default=self._batch_records_max)

    def condemned(self, partition: int) -> bool:
        """Whether the next record of this partition is to be set aside, unread."""
        watched = self._watched.get(partition)
        return watched is not None and watched.attempts >= ATTEMPTS_MAX

    def suspects(self, batch: Mapping[int, int]) -> dict[int, Suspect]:
        """What is to be noted before a batch is read; `batch` is records by partition.

        From now on it counts as begun.
        """
        found: dict[int, Suspect] = {}
        for partition, records in batch.items():
            watched = self._watched.get(partition)
            if watched is None or self.condemned(partition):
                continue
            position = self._open[partition].position
            found[partition] = Suspect(position, records, watched.until)
            watched.begun = records
            self._open[partition] = Owed(position, noted=True)
        return found

    def ended(self, positions: Mapping[int, int]) -> None:
        """A batch is posted; the positions after it."""
        for partition, position in positions.items():
            self._open[partition] = Owed(position, noted=False)
            watched = self._watched.get(partition)
            if watched is None:
                continue
            watched.ahead -= watched.begun
            watched.begun = 0
            if watched.ahead <= 0:
                watched.records_max = min(self._careful, 2 * watched.records_max)
            if position >= watched.until:
                del self._watched[partition]

    def at_end(self, partitions: Iterable[int]) -> None:
        """Nothing of these is left to read, so nothing that could be to blame."""
        for partition in partitions:
            self._watched.pop(partition, None)

    def acquitted(self, partition: int) -> None:
        """The record that was to blame is aside."""
        self._watched.pop(partition, None)
