"""One session of a worker: a consumer, a producer and a connection in agreement.

    poll -> decode -> write -> commit -> publish

COMMIT of batch N runs beside poll and decode of N+1, and its results are published
beside the posting of N+1. Whatever is in doubt raises and ends the session; the next
one starts from what Postgres and Kafka say (see assignment.py). There is no other way
of recovering, so that one is well trodden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import psycopg
from confluent_kafka.admin import AdminClient
from opentelemetry.trace import Span

from consumers.bank import assignment, batch
from consumers.bank.applier import Applier
from consumers.bank.assignment import Assignment, Start
from consumers.bank.batch import Records, Slice
from consumers.bank.caution import Caution
from consumers.bank.codec import Fault, TransferCodec
from consumers.bank.database import connect
from consumers.bank.doubts import Doubts
from consumers.bank.observe import Observer
from consumers.bank.position import Position
from consumers.bank.publisher import Publication, Publisher
from consumers.bank.reading import Reading
from consumers.bank.recall import recall, unread
from consumers.bank.restore import told_of
from consumers.bank.results import ResultsCodec
from consumers.bank.settings import BankSettings
from consumers.bank.told import Told
from once import kafka, logs, names
from once.backoff import pauses
from once.doctor.kafka import Role, require_fit
from once.errors import Fenced, OnceError, Refused, Retriable, Stumbled
from once.metrics import Laps
from once.producer import Record, TransactionalProducer
from once.registry import Registry
from once.settings import secret_now

log = logs.get(__name__)
T = TypeVar("T")

TOPIC_CHECK_SECONDS = 30.0
IDLE_SECONDS = 2.0  # then it is noted how far the log was read

NONE_UNREAD: Mapping[int, Mapping[int, Fault]] = MappingProxyType({})


class Session:
    """Applies the partitions assigned to it until something is in doubt."""

    def __init__(self, settings: BankSettings, observer: Observer) -> None:
        """Raises Retriable while a dependency is away."""
        self._settings = settings
        self._observer = observer
        self._refusals = observer.refusals
        self._starts: dict[int, Start] = {}
        self._owned: set[int] = set()  # the refused ones, too
        self._ledger_id = ""
        self._read_at = time.monotonic()
        self._doubts = Doubts(settings.doubtful_in_a_row_max)
        self._resources = ExitStack()
        try:
            self._open(settings)
        except BaseException:
            self._resources.close()
            raise

    def _open(self, settings: BankSettings) -> None:
        """Connect to everything; `_resources` closes it again, the last one first."""
        closing, observer = self._resources.callback, self._observer
        config = settings.client
        registry = Registry(settings.registry_url, settings.registry_ca)
        closing(registry.close)
        self._told = Told(settings.topic)
        self._tell = partial(
            told_of,
            settings=settings,
            config=config,
            registry=registry,
            beat=observer.progress.beat,
        )
        self._codec = TransferCodec(
            registry,
            f"{settings.topic}-value",
            observer.progress.beat,
            settings.unknown_schema_seconds,
        )
        self._results = ResultsCodec(registry, f"{settings.results_topic}-value")
        self._admin = kafka.client(AdminClient, config, observer.trouble)
        self._check_topics()
        self._topic = self._describe_topic()
        self._topic_checked = time.monotonic()
        producer = TransactionalProducer(
            config,
            f"bank-{settings.instance}",
            within=observer.within,
            trouble=observer.trouble,
        )
        producer.recycle()
        closing(producer.close)
        beat = observer.progress.beat
        self._applier = Applier(
            self._connect, settings.topic, self._wait, beat, observer.metrics
        )
        closing(self._applier.close)
        self._caution = Caution(observer.care, self._applier, settings.topic)
        self._reading = Reading(settings, config, observer)
        closing(self._reading.close)
        self._assignment = Assignment(
            self._reading.consumer,
            config,
            settings.group,
            settings.topic,
            self._topic.topic_id,
            settings.restore,
        )
        self._publisher = Publisher(
            producer, settings.results_topic, lambda: self._reading.membership, beat
        )
        closing(self._publisher.close)
        self._reading.subscribe(self)

    def step(self) -> None:
        """One poll and what follows from it. Raises what ends the session."""
        laps = Laps()
        self._publisher.check()
        messages = self._reading.poll(lambda: self._caution.records_max)
        laps.lap(names.POLL)
        old, new = self._reading.sort(messages, self._begun_at())
        if self._told.until:
            new = self._restore(new)
        slices = self._take(new)
        laps.lap(names.DECODE)
        self._settle()
        laps.skip()
        self._check_topic()
        self._caution.at_end(self._reading.finished(self._applier.poster.positions))
        if old:
            self._recall(old)
        if slices:
            self._doubts.check(self._settings.topic, slices)
            self._applier.begin(slices, laps)
        self._rest(bool(messages))
        self._look_at_refused()
        self._observer.polled(self._reading.consumer, self._reading.next, messages)

    def close(self) -> None:
        """Leave cleanly: finish what is in flight, publish, hand partitions over."""
        try:
            self._settle()
            self._note_ends()
            self._publisher.drain(self._settings.drain_seconds_max)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything; what was not published, the next session publishes."""
        self._caution.leave(self._starts)
        self._forget(list(self._starts))
        self._refusals.owned(())
        self._resources.close()

    # -- reading ----------------------------------------------------------------------

    def _begun_at(self) -> dict[int, int]:
        return {p: start.position.next_offset for p, start in self._starts.items()}

    def _take(self, parts: Sequence[Records]) -> list[Slice]:
        """Decode new records, some of them with care."""
        if not parts:
            return []
        if self._caution.needed:
            self._settle()  # the connection must be free
            parts, aside = self._caution.taken(parts)
            return self._decode(parts, aside)
        return self._decode(parts)

    def _decode(
        self,
        parts: Sequence[Records],
        aside: Mapping[int, Mapping[int, Fault]] = NONE_UNREAD,
    ) -> list[Slice]:
        try:
            slices = self._retry(lambda: batch.decode(parts, self._codec, aside))
        except OnceError:
            raise
        except Exception as error:
            raise Stumbled(
                f"while decoding {batch.ranges(parts)}: {error!r}"
            ) from error
        for piece in slices:
            partition = piece.partition
            if self._reading.next.get(partition) == piece.next_offset:
                piece.seen_until = self._reading.ends.get(partition, 0)
        return slices

    def _check_topics(self) -> None:
        """Whether the topics can keep what is promised. Raises OnceError."""
        settings = self._settings
        roles = {settings.topic: Role.LOG, settings.results_topic: Role.RESULTS}
        findings = require_fit(self._admin, roles, self._observer.trouble)
        self._observer.warn(map(str, findings))

    def _describe_topic(self) -> assignment.Topic:
        return assignment.describe(
            self._admin, self._settings.topic, self._observer.trouble
        )

    def _check_topic(self) -> None:
        if time.monotonic() - self._topic_checked < TOPIC_CHECK_SECONDS:
            return
        self._topic_checked = time.monotonic()
        if self._describe_topic().topic_id != self._topic.topic_id:
            raise Retriable(f"topic {self._settings.topic} is another one now")

    # -- writing ----------------------------------------------------------------------

    def _restore(self, parts: Sequence[Records]) -> list[Records]:
        """Apply what was told; when all of it is applied, what is to be decided."""
        told, rest = self._told.split(parts)
        if told:
            self._settle()
            slices = self._decode(told)
            aside = self._told.unread(slices)
            if aside:
                slices = self._decode(told, aside)
            self._applier.begin(slices, Laps(), self._told.verdicts(slices))
            self._settle()
        positions = self._applier.poster.positions
        for partition in self._told.ended(
            {p: tail.next_offset for p, tail in positions.items()}, rest
        ):
            # From now on it is this ledger's batches that the group's offset names.
            self._assignment.rename(self._ledger_id, partition, positions[partition])
        return self._told.held(rest, self._reading.pause, self._reading.resume)

    def _recall(self, parts: Sequence[Records]) -> None:
        """Publish the results of records that were applied before."""
        ledger = self._applier.ledger
        aside = self._applier.retry(lambda: unread(ledger, parts))
        slices = self._decode(parts, aside)
        recalled = self._applier.retry(lambda: recall(self._applier.ledger, slices))
        tails = {
            piece.partition: start.position
            for piece in slices
            for start in (self._starts[piece.partition],)
            if piece.next_offset == start.position.next_offset
        }
        self._publish(slices, recalled.verdicts, [], recalled.firsts, tails)

    def _settle(self) -> None:
        """Wait for the COMMIT in flight, and hand its results to the publisher."""
        finished = self._applier.finish()
        if finished is None:
            return
        posting, laps = finished
        spans = self._observer.posted(posting, laps)
        self._publish(
            posting.slices, posting.verdicts, spans, posting.firsts, posting.positions
        )
        self._caution.posted(posting.slices, posting.positions)

    def _publish(
        self,
        slices: Sequence[Slice],
        verdicts: Sequence[Sequence[int]],
        spans: Sequence[Span],
        firsts: Sequence[Mapping[int, int]],
        tails: Mapping[int, Position],
    ) -> None:
        first = {p: start.group_offset for p, start in self._starts.items()}

        def encode() -> list[Record]:
            return [
                record
                for piece, mine, earlier in zip(slices, verdicts, firsts, strict=True)
                for record in self._results.encode(
                    piece, mine, first[piece.partition], earlier
                )
            ]

        offsets = assignment.offsets_to_commit(
            self._settings.topic,
            self._ledger_id,
            {
                p.partition: (p.next_offset, tails.get(p.partition))
                for p in slices
                if p.next_offset > first[p.partition]
            },
        )
        done = partial(self._observer.published, spans)
        self._publisher.submit(Publication(encode, offsets, done))

    # -- waiting ----------------------------------------------------------------------

    def _retry(self, call: Callable[[], T]) -> T:
        for pause in pauses():
            try:
                return call()
            except Retriable as error:
                log.warning("waiting", error=str(error))
                self._wait(pause, str(error))
        raise AssertionError("pauses never end")

    def _wait(self, seconds: float, why: str) -> None:
        """Stay in the group while something is away; a rebalance ends the session."""
        self._reading.wait(seconds, why)

    def _rest(self, busy: bool) -> None:
        """When nothing comes, remember how far the log was read."""
        now = time.monotonic()
        if busy:
            self._read_at = now
        elif now - self._read_at > IDLE_SECONDS:
            self._read_at = now
            self._note_ends()

    def _note_ends(self) -> None:
        """What lies behind the last record of a partition are markers: no loss."""
        ahead = self._reading.ahead(self._applier.poster.positions)
        if ahead:
            self._applier.poster.note_seen(ahead)

    # -- partitions (called back from within poll) ------------------------------------

    def given(self, partitions: Sequence[int]) -> dict[int, int | None]:
        """Where to begin in partitions that are ours now; None: refused."""
        self._settle()
        self._owned.update(partitions)
        self._refusals.owned(self._owned)
        starts = self._start(partitions)
        return {p: starts[p].offset if p in starts else None for p in partitions}

    def taken(self, partitions: Sequence[int]) -> None:
        """Publish all that was applied, and let these partitions go."""
        self._settle()
        self._note_ends()
        if not self._publisher.drain(self._settings.drain_seconds_max):
            raise Fenced("results could not be published before the partitions went")
        self._publisher.check()
        self._caution.leave(partitions)
        self._refusals.accept(partitions)
        self._owned.difference_update(partitions)
        self._forget(partitions)

    def _start(self, partitions: Sequence[int]) -> dict[int, Start]:
        """Open partitions; those that a person must decide about are left out."""
        wanted = [p for p in partitions if not self._refusals.final(p)]
        opened = self._applier.open(wanted, self._topic.topic_id, self._caution.owed)
        self._caution.settled()
        self._ledger_id = opened.ledger_id
        starts = self._assignment.begin(
            opened, self._applier.poster.hash_of, self._refusals.refuse
        )
        self._caution.opened(opened.trials, starts)
        self._refusals.accept(starts)
        self._starts.update(starts)
        for partition, start in starts.items():
            self._applier.poster.positions[partition] = start.position
        self._observer.owned(self._starts)
        self._told.merge(self._tell(starts))
        if len(self._refusals) == self._topic.partitions:
            raise Refused(self._refusals.check() or "all partitions are refused")
        return starts

    def _look_at_refused(self) -> None:
        """Once a minute: what a person has mended goes on by itself."""
        due = self._refusals.due()
        if due:
            self._settle()
            mended = self._start(due)
            if mended:
                raise Retriable(f"partitions {sorted(mended)} are mended: begin anew")

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._starts.pop(partition, None)
        self._told.forget(partitions)
        self._reading.forget(partitions)
        self._applier.poster.drop(partitions)
        self._observer.owned(self._starts)

    def _connect(self) -> psycopg.Connection:
        conninfo = secret_now(self._settings, "conninfo")
        name = f"bank {self._settings.instance}"
        return connect(conninfo, name, self._observer.warn)
