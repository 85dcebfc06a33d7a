"""A session's side of care.py: batches are noted, condemned records are not read."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar

from consumers.bank.applier import Applier
from consumers.bank.batch import Records, Slice
from consumers.bank.care import ASIDE_AN_HOUR_MAX, ATTEMPTS_MAX, Care, Owed, Trial
from consumers.bank.codec import Fault, Reason
from consumers.bank.position import Position
from consumers.bank.trials import Trials
from once import logs
from once.errors import OnceError, Refused

log = logs.get(__name__)
T = TypeVar("T")

_WHY = Fault(
    Reason.ENDS_WORKERS,
    f"{ATTEMPTS_MAX} workers ended or hung over this record and were started again; "
    "it was not read any more: look at their logs, and tell those who own the code",
)


class Caution:
    """Applies what `Care` asks for, on one session's connection."""

    def __init__(self, care: Care, applier: Applier, topic: str) -> None:
        self._care = care
        self._applier = applier
        self._topic = topic

    @property
    def records_max(self) -> int:
        """How many records may be read at once."""
        return self._care.records_max

    @property
    def needed(self) -> bool:
        """Whether a partition of ours is handled with care now."""
        return self._care.needed

    @property
    def owed(self) -> Mapping[int, Owed]:
        """What the next opening takes back."""
        return self._care.owed

    def repaid(self) -> None:
        """An opening has taken back what was owed."""
        self._care.settled()

    def opened(self, trials: Mapping[int, Trial], read: Container[int]) -> None:
        """This is noted of partitions that are ours now; `read` are not refused."""
        self._care.opened({p: trial for p, trial in trials.items() if p in read})
        self._care.refused({p: trial for p, trial in trials.items() if p not in read})
        if self._care.needed:
            log.warning(
                "workers ended here before: going on with care",
                records_max=self._care.records_max,
                trials={p: asdict(trial) for p, trial in trials.items()},
            )

    def noted(self, parts: Sequence[Records]) -> dict[int, dict[int, Fault]]:
        """Before records are decoded: they are noted; what must not be decoded of them.

        Nothing may be in flight. Raises Refused for a partition in which too many
        records would be set aside.
        """
        records = {part.partition: len(part.offsets) for part in parts}
        suspects = self._care.suspects(records)
        if suspects:
            self._on_trial(lambda trials: trials.note(suspects))
        aside: dict[int, dict[int, Fault]] = {}
        for part in parts:
            if self._care.condemned(part.partition):
                self._check_count(part.partition)
                log.error(
                    "a record ends workers and is set aside, unread",
                    partition=part.partition,
                    offset=part.offsets[0],
                )
                aside[part.partition] = {part.offsets[0]: _WHY}
        return aside

    def posted(
        self, slices: Sequence[Slice], positions: Mapping[int, Position]
    ) -> None:
        """A batch is in the ledger."""
        self._care.ended({p: tail.next_offset for p, tail in positions.items()})
        for piece in slices:
            reasons = {fault.reason for fault in piece.faults.values()}
            if Reason.ENDS_WORKERS in reasons:
                self._care.acquitted(piece.partition)
                self._on_trial(partial(Trials.acquit, partition=piece.partition))

    def at_end(self, partitions: Iterable[int]) -> None:
        """All of these is applied up to the end of the log."""
        self._care.at_end(partitions)

    def leave(self, partitions: Iterable[int]) -> None:
        """Give partitions up in order, and take back what was noted if that can be."""
        owed = dict(self._care.leave(partitions))
        if not owed or not self._applier.idle:
            return
        try:
            self._applier.on_trial(lambda trials: trials.leave(owed))
            self._care.settled()
        except OnceError as error:
            log.info("trials are taken back later", error=str(error))

    def _check_count(self, partition: int) -> None:
        lately = self._on_trial(lambda trials: trials.aside_lately(partition))
        if lately >= ASIDE_AN_HOUR_MAX:
            raise Refused(
                f"{self._topic}[{partition}]: {lately} records have ended workers "
                "within an hour and were set aside; it is not the records: look at the "
                "workers' logs; see docs/runbooks/partition-refused.md",
                partition,
            )

    def _on_trial(self, change: Callable[[Trials], T]) -> T:
        return self._applier.retry(lambda: self._applier.on_trial(change))
