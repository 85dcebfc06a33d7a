"""One session of a worker: a consumer, a producer and a connection in agreement.

    poll -> decode -> settle -> recall -> begin

COMMIT of batch N runs beside poll and decode of N+1 (`begin`, then `settle`), and its
results are published beside the posting of N+1. So at most one COMMIT is in flight, and
of three batches the results: one is sent, one waits, one is handed over.

Whatever is in doubt raises and ends the session; the next one starts from what Postgres
and Kafka say (see assignment.py). There is no other way of recovering, so that one is
well trodden.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType

from opentelemetry.trace import Span

from consumers.bank import batch, must_hold, wiring
from consumers.bank.assignment import offsets_to_commit
from consumers.bank.batch import Records, Slice
from consumers.bank.codec import Fault
from consumers.bank.doubts import Doubts
from consumers.bank.observe import Observer, Point
from consumers.bank.ownership import Ownership
from consumers.bank.position import Position
from consumers.bank.publisher import Publication
from consumers.bank.reading import IDLE_SECONDS
from consumers.bank.settings import BankSettings
from consumers.bank.told import Unopened
from once import logs, names
from once.backoff import retry
from once.errors import OnceError, Stumbled
from once.metrics import Laps
from once.producer import Record

log = logs.get(__name__)

NOTE_SECONDS = 2.0  # of idleness, then it is noted how far the log was read

NONE_UNREAD: Mapping[int, Mapping[int, Fault]] = MappingProxyType({})


class Session:
    """Applies the partitions assigned to it until something is in doubt."""

    def __init__(self, settings: BankSettings, observer: Observer) -> None:
        """Raises Retriable while a dependency is away, Refused, Defect."""
        self._settings = settings
        self._observer = observer
        self._read_at = time.monotonic()
        self._submitted: dict[int, int] = {}  # group offset by partition
        self._doubts = Doubts(settings.doubtful_in_a_row_max)
        self._resources = ExitStack()
        try:
            parts = wiring.connect_all(settings, observer, self._resources)
        except BaseException:
            self._resources.close()
            raise
        self._codec, self._results = parts.codec, parts.results
        self._log_topic, self._reading = parts.log_topic, parts.reading
        self._applier, self._caution = parts.applier, parts.caution
        self._assignment, self._restore = parts.assignment, parts.restore
        self._publisher = parts.publisher
        self._ownership = Ownership(
            parts,
            observer,
            settle=self._settle,
            drain_seconds_max=settings.drain_seconds_max,
        )
        self._reading.subscribe(self._ownership)

    def step(self) -> None:
        """One poll and what follows from it. Raises what ends the session."""
        laps = Laps()
        self._publisher.check()
        if self._reading.early_seconds:
            self._settle()  # there is time: what is committed is told at once
            laps.skip()
        messages = self._reading.poll(
            lambda: self._caution.records_max,
            IDLE_SECONDS if self._applier.idle else 0.0,
        )
        laps.lap(names.POLL)
        old, new = self._reading.sort(messages, self._begun_at())
        if self._restore.active:
            new = self._apply_told(new)
        slices = self._take(new)
        laps.lap(names.DECODE)
        self._settle()
        laps.skip()
        self._log_topic.check()
        self._caution.at_end(self._reading.finished(self._applier.positions))
        if old:
            self._recall(old)
        if slices:
            self._doubts.check(self._settings.topic, slices)
            self._apply(slices, laps)
        self._idle(not messages and not slices)
        self._ownership.look_at_refused()
        reading = self._reading
        self._observer.stepped(reading.consumer, reading.next, reading.ends, messages)

    def close(self) -> None:
        """Leave cleanly: finish what is in flight, publish, hand partitions over."""
        try:
            self._settle()
            if not self._publisher.drain(self._settings.drain_seconds_max):
                log.warning("results are left to be published by the next session")
            self._ownership.note_ends()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything; what was not published, the next session publishes."""
        self._ownership.leave()
        self._resources.close()

    def _begun_at(self) -> dict[int, int]:
        starts = self._ownership.starts
        return {p: start.position.next_offset for p, start in starts.items()}

    def _take(self, parts: Sequence[Records]) -> list[Slice]:
        """Decode new records, some of them with care."""
        if not parts:
            return []
        if self._caution.needed:
            self._settle()  # the connection must be free
            return self._decode(parts, self._caution.noted(parts))
        return self._decode(parts)

    def _decode(
        self,
        parts: Sequence[Records],
        aside: Mapping[int, Mapping[int, Fault]] = NONE_UNREAD,
    ) -> list[Slice]:
        try:
            slices = retry(
                lambda: batch.decode(parts, self._codec, aside), self._reading.wait
            )
        except OnceError:
            raise
        except Exception as error:
            raise Stumbled(
                f"while decoding {batch.ranges(parts)}: {error!r}"
            ) from error
        self._reading.mark_ends(slices)
        return slices

    def _apply(self, slices: Sequence[Slice], laps: Laps, told: bool = False) -> None:
        """Begin to post; with changes of accounts among them, one kind at a time."""
        for some in batch.in_turn(slices):
            self._settle()
            verdicts = self._restore.verdicts(some) if told else None
            self._applier.begin(some, laps, verdicts)
            laps = Laps()

    def _settle(self) -> None:
        """Wait for the COMMIT in flight, and hand its results to the publisher."""
        finished = self._applier.finish()
        if finished is None:
            return
        posting, laps = finished
        self._observer.reached(Point.COMMITTED)
        spans = self._observer.posted(posting, laps)
        self._publish(
            posting.slices, posting.verdicts, spans, posting.firsts, posting.positions
        )
        self._caution.posted(posting.slices, posting.positions)

    def _recall(self, parts: Sequence[Records]) -> None:
        """Publish the results of records that were applied before."""
        slices = self._decode(parts, self._applier.unread(parts))
        must_hold.before_recalling(slices, self._applier.positions)
        recalled = self._applier.recall(slices)
        begun_at = {p: start.position for p, start in self._ownership.starts.items()}
        tails = {
            piece.partition: begun_at[piece.partition]
            for piece in slices
            if piece.next_offset == begun_at[piece.partition].next_offset
        }
        self._publish(slices, recalled.verdicts, [], recalled.firsts, tails)

    def _publish(
        self,
        slices: Sequence[Slice],
        verdicts: Sequence[Sequence[int]],
        spans: Sequence[Span],
        firsts: Sequence[Mapping[int, int]],
        tails: Mapping[int, Position],
    ) -> None:
        must_hold.one_verdict_each(slices, verdicts)
        starts = self._ownership.starts
        from_offset = {p: start.group_offset for p, start in starts.items()}

        def encode() -> list[Record]:
            return [
                record
                for piece, mine, earlier in zip(slices, verdicts, firsts, strict=True)
                for record in self._results.encode(
                    piece, mine, from_offset[piece.partition], earlier
                )
            ]

        ends = {
            piece.partition: piece.next_offset
            for piece in slices
            if piece.next_offset > from_offset[piece.partition]
        }
        must_hold.before_publishing(slices, self._submitted, ends)
        self._submitted.update(ends)
        offsets = offsets_to_commit(
            self._settings.topic,
            self._ownership.ledger_id,
            {partition: (end, tails.get(partition)) for partition, end in ends.items()},
        )
        done = partial(self._observer.published, spans)
        self._publisher.submit(Publication(encode, offsets, done))

    def _apply_told(self, parts: Sequence[Records]) -> list[Records]:
        """Restore mode: apply what was told; what is left is to be decided."""
        told, rest = self._restore.split(parts)
        for records in told:
            self._take_told(records)
        positions = self._applier.positions
        for partition in self._restore.ended(
            {p: tail.next_offset for p, tail in positions.items()}, rest
        ):
            # From now on it is this ledger's batches that the group's offset names.
            self._assignment.claim(
                self._ownership.ledger_id, partition, positions[partition]
            )
        return self._restore.held(rest, self._reading.pause, self._reading.resume)

    def _take_told(self, told: Records) -> None:
        """Apply what was told of one partition's records, or as much as can be yet."""
        self._settle()
        slices = self._decode([told])
        aside = self._restore.unread(slices)
        if aside:
            slices = self._decode([told], aside)
        partition = told.partition
        try:
            self._apply(slices, Laps(), told=True)
            self._settle()
        except Unopened as error:
            position = self._applier.positions[partition].next_offset
            self._restore.postpone(told.split(position)[1], error)
            self._reading.pause([partition])
        else:
            if self._restore.applied(partition):
                self._reading.resume([partition])

    def _idle(self, idle: bool) -> None:
        """When nothing comes, remember how far the log was read."""
        now = time.monotonic()
        if not idle:
            self._read_at = now
        elif now - self._read_at > NOTE_SECONDS:
            self._read_at = now
            self._ownership.note_ends()
