"""Follows receipts and results in Kafka, read committed, into the index.

Only records of Stores that serve HTTP are decoded; all others are skipped by their key.
The log is read without a consumer group: every replica reads all of it, from the
positions in its index or, with a new one, from a day ago.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from once import logs
from once.backoff import pauses
from once.errors import OnceError, Retriable
from once.health import Progress
from once.kafka import Trouble, client
from once.http_metrics import FollowMetrics
from once.registry import Registry
from producers.store.index import Index
from producers.store.reading import FactReader, Facts

log = logs.get(__name__)

MESSAGES_MAX = 200
POLL_SECONDS = 0.2
RELIST_SECONDS = 30.0
PRUNE_SECONDS = 10.0
REQUEST_SECONDS = 10.0

Changed = Callable[[Collection[bytes]], None]


class Follower:
    """A thread that keeps the index up to date until `close`."""

    def __init__(
        self,
        kafka: Mapping[str, str],
        registry: Registry,
        receipts_topic: str,
        results_topic: str,
        index: Index,
        kept_hours: float,
        wanted: Callable[[], bool],
        changed: Changed,
        metrics: FollowMetrics,
        progress: Progress,
        failed: Callable[[OnceError], None],
        trouble: Trouble,
    ) -> None:
        """`changed` is called, in the thread, with ids of which more is known now.

        Not while `wanted()` says that nobody wants to know. `failed` is told, in the
        thread, when it cannot go on.
        """
        self._failed = failed
        self._trouble = trouble
        self._wanted = wanted
        self._kafka = kafka
        self._receipts_topic = receipts_topic
        self._results_topic = results_topic
        self._reader = FactReader(registry, results_topic, index.verdicts)
        self._index = index
        self._kept_seconds = kept_hours * 3600
        self._changed = changed
        self._metrics = metrics
        self._progress = progress
        self._behind: set[tuple[str, int]] = set()
        self._away: str | None = "the log has not been read yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop after what is being read."""
        self._stop.set()
        self._thread.join()

    def check(self) -> str | None:
        """Why the index may not know what others know; None when it does."""
        if self._away is not None:
            return f"{self._away}{self._trouble}"
        if self._behind:
            return f"{len(self._behind)} partitions are still being read"
        return None

    def _run(self) -> None:
        try:
            self._keep_following()
        except OnceError as error:
            self._end(error)
        except Exception as error:  # a Store that lives on would never tell what is new
            log.exception("the follower ended")
            self._end(OnceError(f"the follower ended, unforeseen: {error!r}"))

    def _end(self, error: OnceError) -> None:
        log.error("cannot go on", error=str(error))
        self._away = str(error)
        self._failed(error)

    def _keep_following(self) -> None:
        delays = pauses()
        while not self._stop.is_set():
            consumer = client(Consumer, self._settings(), self._trouble)
            try:
                self._follow(consumer)
            except (KafkaException, Retriable, sqlite3.Error) as error:
                consumer.poll(0)  # else what was said of the connection is not heard
                self._away = f"the log cannot be followed: {error}"
                said = f"{error}{self._trouble}"
                log.warning("cannot follow, trying again", error=said)
                self._progress.beat()
                self._stop.wait(next(delays))
            finally:
                consumer.close()

    def _settings(self) -> dict[str, Any]:
        return {
            **self._kafka,
            "group.id": "store-follower",  # asked for by the client, joined by nobody
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.min.bytes": 100_000,
            "fetch.wait.max.ms": 100,
            "statistics.interval.ms": 5_000,
            "stats_cb": self._note_brokers,
            "log_level": 2,
        }

    def _follow(self, consumer: Consumer) -> None:
        assigned: set[tuple[str, int]] = set()
        listed = pruned = float("-inf")
        while not self._stop.is_set():
            now = time.monotonic()
            if now - listed > RELIST_SECONDS:
                assigned, listed = self._assign(consumer, assigned), now
            if now - pruned > PRUNE_SECONDS:
                # Some rows at a time, until none is old: never behind what comes in.
                if not self._index.prune(time.time() - self._kept_seconds):
                    pruned = now
            self._take(consumer.consume(MESSAGES_MAX, POLL_SECONDS))
            self._progress.beat()

    def _assign(
        self, consumer: Consumer, assigned: set[tuple[str, int]]
    ) -> set[tuple[str, int]]:
        """Read every partition that there is; new ones may have come."""
        there = {
            (topic, partition)
            for topic in (self._receipts_topic, self._results_topic)
            for partition in consumer.list_topics(topic, REQUEST_SECONDS)
            .topics[topic]
            .partitions
        }
        new = sorted(there - assigned)
        if new:
            consumer.incremental_assign(self._places(consumer, new))
            self._behind |= set(new)
        self._away = None
        return there | assigned

    def _places(
        self, consumer: Consumer, partitions: Sequence[tuple[str, int]]
    ) -> list[TopicPartition]:
        """Where to begin: where the index ends, or with what is young enough."""
        positions = self._index.positions()
        since_ms = int((time.time() - self._kept_seconds) * 1000)
        places = []
        for where in partitions:
            # Asked for first: what comes after this end is young.
            _, end = consumer.get_watermark_offsets(
                TopicPartition(*where), REQUEST_SECONDS
            )
            asked = [TopicPartition(*where, since_ms)]
            (found,) = consumer.offsets_for_times(asked, REQUEST_SECONDS)
            young = end if found.offset == OFFSET_END else found.offset
            places.append(TopicPartition(*where, positions.get(where, young)))
        return places

    def _take(self, messages: Sequence[Any]) -> None:
        records: list[Any] = []
        positions: dict[tuple[str, int], int] = {}
        for message in messages:
            where = (message.topic(), message.partition())
            error = message.error()
            if error is not None:
                self._note_error(error, where)
                continue
            records.append(message)
            positions[where] = message.offset() + 1
        if records:
            facts = self._reader.read(records)
            self._index.write(facts.receipts, facts.results, positions)
            self._tell(facts)

    def _tell(self, facts: Facts) -> None:
        received = (len(c) for mine in facts.receipts.values() for c in mine)
        self._metrics.followed(sum(received), sum(map(len, facts.results.values())))
        if self._wanted():  # who comes later looks into the index first
            self._changed(facts.ids())

    def _note_error(self, error: KafkaError, where: tuple[str, int]) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._behind.discard(where)
        elif not error.retriable():
            raise KafkaException(error)

    def _note_brokers(self, statistics: str) -> None:
        """Whether any broker is connected: silence alone does not tell."""
        brokers = json.loads(statistics)["brokers"].values()
        up = any(broker["state"] == "UP" for broker in brokers)
        self._away = None if up else "no broker is connected"
