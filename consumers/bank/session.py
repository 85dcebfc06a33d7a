"""One session of a worker: a consumer, a producer and a connection in agreement.

    poll -> decode -> write -> commit -> publish

COMMIT of batch N runs beside poll and decode of N+1, and its results are published
beside the posting of N+1. Whatever is in doubt raises and ends the session; the next
one starts from what Postgres and Kafka say (see assignment.py). There is no other way
of recovering, so that one is well trodden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from opentelemetry.trace import Span

from consumers.bank import assignment, batch
from consumers.bank.applier import Applier
from consumers.bank.assignment import Start
from consumers.bank.batch import Records, Slice
from consumers.bank.codec import TransferCodec
from consumers.bank.database import connect
from consumers.bank.observe import Observer
from consumers.bank.publisher import Publication, Publisher
from consumers.bank.recall import recall
from consumers.bank.results import ResultsCodec
from consumers.bank.settings import BankSettings
from once import names
from once.backoff import pauses
from once.errors import Fenced, Retriable
from once.metrics import Laps
from once.producer import Record, TransactionalProducer
from once.registry import Registry

log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")

TOPIC_CHECK_SECONDS = 30.0


class Session:
    """Applies the partitions assigned to it until something is in doubt."""

    def __init__(self, settings: BankSettings, observer: Observer) -> None:
        """Raises Retriable while a dependency is away."""
        self._settings = settings
        self._observer = observer
        self._starts: dict[int, Start] = {}
        self._next: dict[int, int] = {}
        self._waiting = False
        self._changed = False
        self._rebalancing = False  # inside a callback: it must not poll again
        self._resources = ExitStack()
        try:
            self._open(settings)
        except BaseException:
            self._resources.close()
            raise

    def _open(self, settings: BankSettings) -> None:
        """Connect to everything; `_resources` closes it again, the last one first."""
        closing = self._resources.callback
        kafka = {"bootstrap.servers": settings.bootstrap_servers, **settings.kafka}
        registry = Registry(settings.registry_url, settings.registry_ca)
        closing(registry.close)
        self._codec = TransferCodec(
            registry, f"{settings.topic}-value", self._observer.progress.beat
        )
        self._results = ResultsCodec(registry, f"{settings.results_topic}-value")
        self._admin = AdminClient({**kafka, "log_level": 2})
        self._topic_id = assignment.topic_id(self._admin, settings.topic)
        self._topic_checked = time.monotonic()
        producer = TransactionalProducer(kafka, f"bank-{settings.instance}")
        producer.recycle()
        closing(producer.close)
        self._applier = Applier(
            self._connect,
            settings.topic,
            self._wait,
            self._observer.progress.beat,
            self._observer.metrics,
        )
        closing(self._applier.close)
        self._consumer = Consumer(_consumer_settings(settings, kafka))
        closing(self._consumer.close)
        self._membership: Any = None
        self._publisher = Publisher(
            producer, settings.results_topic, lambda: self._membership
        )
        closing(self._publisher.close)
        self._consumer.subscribe(
            [settings.topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def step(self) -> None:
        """One poll and what follows from it. Raises what ends the session."""
        laps = Laps()
        self._publisher.check()
        messages = self._poll()
        self._note_membership()
        laps.lap(names.POLL)
        old, new = self._sort(messages)
        slices = self._decode(new)
        laps.lap(names.DECODE)
        self._settle()
        laps.skip()
        self._check_topic()
        if old:
            self._recall(old)
        if slices:
            self._applier.begin(slices, laps)
        self._observer.polled(self._consumer, self._next, messages)

    def close(self) -> None:
        """Leave cleanly: finish what is in flight, publish, hand partitions over."""
        try:
            self._settle()
            self._publisher.drain(self._settings.drain_seconds_max)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything; what was not published, the next session publishes."""
        self._forget(self._starts)
        self._waiting = True  # no callback may start anything any more
        self._resources.close()

    # -- reading ----------------------------------------------------------------------

    def _poll(self) -> list[Any]:
        settings = self._settings
        try:
            messages = self._consumer.consume(
                settings.batch_records_max, settings.batch_linger_ms / 1000
            )
        except KafkaException as error:
            raise Retriable(f"while reading {settings.topic}: {error}") from error
        for message in messages:
            wrong = message.error()
            if wrong is not None:
                raise Retriable(f"while reading {settings.topic}: {wrong.str()}")
        return messages

    def _sort(self, messages: Sequence[Any]) -> tuple[list[Records], list[Records]]:
        """Records below the position when we began, and the others.

        Records of partitions that are not ours (any more), and those that were read
        before, are passed over: librdkafka can deliver both around a rebalance.
        """
        old: list[Records] = []
        new: list[Records] = []
        for records in batch.group(messages, self._observer.traces_enabled):
            due = self._next.get(records.partition)
            if due is None:
                continue
            _, records = records.split(due)
            if not records.offsets:
                continue
            self._next[records.partition] = records.offsets[-1] + 1
            begun_at = self._starts[records.partition].position.next_offset
            for part, kind in zip(records.split(begun_at), (old, new), strict=True):
                if part.offsets:
                    kind.append(part)
        return old, new

    def _decode(self, parts: Sequence[Records]) -> list[Slice]:
        if not parts:
            return []
        return self._retry(lambda: batch.decode(parts, self._codec))

    def _check_topic(self) -> None:
        if time.monotonic() - self._topic_checked < TOPIC_CHECK_SECONDS:
            return
        self._topic_checked = time.monotonic()
        if assignment.topic_id(self._admin, self._settings.topic) != self._topic_id:
            raise Retriable(f"topic {self._settings.topic} is another one now")

    # -- writing ----------------------------------------------------------------------

    def _recall(self, parts: Sequence[Records]) -> None:
        """Publish the results of records that were applied before."""
        slices = self._decode(parts)
        verdicts = self._applier.retry(lambda: recall(self._applier.ledger, slices))
        self._publish(slices, verdicts, [])

    def _settle(self) -> None:
        """Wait for the COMMIT in flight, and hand its results to the publisher."""
        finished = self._applier.finish()
        if finished is None:
            return
        posting, laps = finished
        spans = self._observer.posted(posting, laps)
        self._publish(posting.slices, posting.verdicts, spans)

    def _publish(
        self,
        slices: Sequence[Slice],
        verdicts: Sequence[Sequence[int]],
        spans: Sequence[Span],
    ) -> None:
        first = {p: start.group_offset for p, start in self._starts.items()}

        def encode() -> list[Record]:
            return [
                record
                for piece, mine in zip(slices, verdicts, strict=True)
                for record in self._results.encode(piece, mine, first[piece.partition])
            ]

        offsets = [
            TopicPartition(self._settings.topic, p.partition, p.next_offset)
            for p in slices
            if p.next_offset > first[p.partition]
        ]
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
        self._observer.waiting(why)
        if self._rebalancing:
            raise Retriable(f"cannot wait in a rebalance: {why}")
        owned = [TopicPartition(self._settings.topic, p) for p in self._starts]
        until = time.monotonic() + seconds
        self._waiting = True
        try:
            self._consumer.pause(owned)
            while (left := until - time.monotonic()) > 0:
                self._observer.progress.beat()
                if self._consumer.consume(1, left) or self._changed:
                    raise Retriable("the assignment changed while waiting")
                self._observer.check_stop()
            self._consumer.resume(owned)
        except KafkaException as error:
            raise Retriable(f"while waiting: {error}") from error
        finally:
            self._waiting = False

    # -- rebalances (called from within consume) --------------------------------------

    def _on_assign(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        if self._waiting:
            self._changed = self._changed or bool(given)
            return
        self._note_membership()
        if not given:
            return
        self._settle_at_once()
        partitions = [tp.partition for tp in given]
        starts = assignment.begin(
            consumer,
            self._applier.poster,
            self._settings.group,
            self._topic_id,
            partitions,
        )
        self._starts.update(starts)
        for partition, start in starts.items():
            self._next[partition] = start.offset
            self._applier.poster.positions[partition] = start.position
        topic = self._settings.topic
        consumer.incremental_assign(
            [TopicPartition(topic, p, start.offset) for p, start in starts.items()]
        )
        log.info("partitions assigned", partitions=partitions)
        self._observer.owned(self._starts)

    def _settle_at_once(self) -> None:
        """Settle, or end the session: a callback cannot wait for an outage to pass."""
        self._rebalancing = True
        try:
            self._settle()
        finally:
            self._rebalancing = False

    def _on_revoke(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        if self._waiting:
            self._changed = True
            return
        self._note_membership()
        self._settle_at_once()
        if not self._publisher.drain(self._settings.drain_seconds_max):
            raise Fenced("results could not be published before the partitions went")
        self._publisher.check()
        log.info("partitions revoked", partitions=[tp.partition for tp in taken])
        self._forget(tp.partition for tp in taken)
        consumer.incremental_unassign(taken)

    def _on_lost(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        self._changed = True
        if not self._waiting:
            raise Fenced("the group went on without this worker")

    def _note_membership(self) -> None:
        """Take the group metadata of now, for the publisher.

        Only here, in the thread that polls: elsewhere the call hangs in a rebalance. A
        member that was thrown out is reset by librdkafka to no member at all, whose
        offsets the broker would accept: so it is checked around the reading.
        """
        member = self._consumer.memberid()
        metadata = self._consumer.consumer_group_metadata()
        if member and self._consumer.memberid() == member:
            self._membership = metadata
        elif self._starts:
            raise Fenced("this worker is not a member of its group any more")

    def _forget(self, partitions: Any) -> None:
        for partition in list(partitions):
            self._starts.pop(partition, None)
            self._next.pop(partition, None)
            self._applier.poster.drop([partition])
        self._observer.owned(self._starts)

    def _connect(self) -> Any:
        settings = self._settings
        return connect(
            settings.conninfo.get_secret_value(), f"bank {settings.instance}"
        )


def _consumer_settings(settings: BankSettings, kafka: dict[str, str]) -> dict[str, Any]:
    return {
        **kafka,
        "group.id": settings.group,
        "client.id": f"bank-{settings.instance}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",  # never by itself: see assignment.py
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 5),
        "fetch.wait.max.ms": 50,
        # librdkafka spends some 400 bytes on each queued record beside its own.
        "queued.max.messages.kbytes": settings.fetch_queue_kib,
        "queued.min.messages": settings.batch_records_max,
        "log_level": 2,
    }
