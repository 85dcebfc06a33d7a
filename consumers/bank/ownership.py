"""The partitions that are ours: how they come, how they go, what is refused meanwhile.

Called back from within poll when the group gives or takes partitions. Whatever is in
flight is settled first: a partition goes only after all that was applied of it is
published, and comes with a position that a standby has, too. Where that is not possible
any more (the group went on without us, or the session ends over something) nothing is
waited for: whoever is next publishes it from the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumers.bank.assignment import Start
from consumers.bank.observe import Observer
from consumers.bank.wiring import Parts
from once import logs
from once.errors import Fenced, Refused, Retriable

log = logs.get(__name__)


class Ownership:
    """Opens partitions, and lets them go; the `Owner` of a Reading."""

    def __init__(
        self,
        parts: Parts,
        observer: Observer,
        *,
        settle: Callable[[], None],
        drain_seconds_max: float,
    ) -> None:
        """`settle()` waits for the COMMIT in flight and hands over its results."""
        # Where the work in each of them began. It is never updated: what is applied by
        # now is in Applier.positions.
        self.starts: dict[int, Start] = {}
        self.ledger_id = ""
        self._owned: set[int] = set()  # the refused ones, too
        self._parts = parts
        self._observer = observer
        self._refusals = observer.refusals
        self._settle = settle
        self._drain_seconds_max = drain_seconds_max

    def given(self, partitions: Sequence[int]) -> dict[int, int | None]:
        """Where to begin in partitions that are ours now; None: refused."""
        self._settle()
        self._owned.update(partitions)
        self._refusals.owned(self._owned)
        starts = self._open(partitions)
        return {p: starts[p].offset if p in starts else None for p in partitions}

    def taken(self, partitions: Sequence[int]) -> None:
        """Publish all that was applied, and let these partitions go."""
        self._settle()
        if not self._parts.publisher.drain(self._drain_seconds_max):
            raise Fenced("results could not be published before the partitions went")
        self._parts.publisher.check()
        self.note_ends()
        self._parts.caution.leave(partitions)
        self._refusals.accept(partitions)
        self._owned.difference_update(partitions)
        self._forget(partitions)

    def leave(self) -> None:
        """Let go of all of them as they are."""
        partitions = list(self.starts)
        self._parts.caution.leave(partitions)
        self._forget(partitions)
        self._refusals.owned(())

    def look_at_refused(self) -> None:
        """Once a minute: what a person has mended goes on by itself."""
        due = self._refusals.due()
        if due:
            self._settle()
            mended = self._open(due)
            if mended:
                raise Retriable(f"partitions {sorted(mended)} are mended: begin anew")

    def note_ends(self) -> None:
        """Write down how far the log was read, where nothing more is to be applied.

        Behind the last record lie only markers then, whose loss is none. It is a hint.
        """
        ahead = self._parts.reading.ahead(self._parts.applier.positions)
        if ahead:
            try:
                self._parts.applier.note_seen(ahead)
            except Retriable as error:
                log.info("ends of the log are noted later", error=str(error))

    def _open(self, partitions: Sequence[int]) -> dict[int, Start]:
        """Open partitions; those that a person must decide about are left out."""
        parts, refusals = self._parts, self._refusals
        wanted = [p for p in partitions if not refusals.final(p)]
        opened = parts.applier.open(
            wanted, parts.log_topic.topic_id, parts.caution.owed
        )
        parts.caution.repaid()
        self.ledger_id = opened.ledger_id
        starts = parts.assignment.starts(opened, parts.applier.hash_of, refusals.refuse)
        parts.caution.opened(opened.trials, starts)
        refusals.accept(starts)
        self.starts.update(starts)
        parts.applier.own({p: start.position for p, start in starts.items()})
        self._observer.owned(self.starts)
        parts.restore.begin(starts)
        if len(refusals) == parts.log_topic.partitions:
            raise Refused(refusals.check() or "")
        return starts

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self.starts.pop(partition, None)
        self._parts.restore.forget(partitions)
        self._parts.reading.forget(partitions)
        self._parts.applier.drop(partitions)
        self._observer.owned(self.starts)
