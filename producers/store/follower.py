"""Follows receipts and results in Kafka from now on, read committed, into the index.

Only records of Stores that serve HTTP are decoded; all others are skipped by their key.
The log is read without a consumer group: every replica reads all of it. What was there
before is the filler's (filler.py): a replica is ready before it knows the whole day.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from once import logs
from once.backoff import pauses
from once.errors import OnceError, Retriable
from once.health import Progress
from once.http_metrics import FollowMetrics
from once.kafka import passes
from once.renewal import Renewal
from producers.store.facts import Facts, Place, Range
from producers.store.followed import Followed, Where, consumed
from producers.store.index import Index
from producers.store.reading import Delivered
from producers.store.topics import REQUEST_SECONDS

log = logs.get(__name__)

RELIST_SECONDS = 10.0
FORGET_SECONDS = 10.0

Changed = Callable[[Collection[bytes]], None]


class News:
    """Tells of facts that are new: to the metrics, and to those who wait."""

    def __init__(
        self, metrics: FollowMetrics, *, wanted: Callable[[], bool], changed: Changed
    ) -> None:
        """`changed` is called, in the thread, with ids of which more is known now.

        Not while `wanted()` says that nobody wants to know.
        """
        self._metrics, self._wanted, self._changed = metrics, wanted, changed

    def tell(self, facts: Facts) -> None:
        """These are in the index now."""
        receipts, results = facts.receipts.values(), facts.results.values()
        self._metrics.followed(_count(receipts), _count(results))
        if self._wanted():  # who comes later looks into the index first
            self._changed(facts.ids())


class Follower:
    """A thread that keeps the index up to date until `close`."""

    def __init__(
        self,
        followed: Followed,
        index: Index,
        *,
        news: News,
        progress: Progress,
        failed: Callable[[OnceError], None],
    ) -> None:
        """`failed` is told, in the thread, when it cannot go on."""
        self._followed = followed
        self._reader = followed.reader()
        self._index = index
        self._news = news
        self._progress = progress
        self._failed = failed
        self.begun = threading.Event()  # it is known where
        self._next: dict[Place, int] = {}  # what is read next, while it lives
        self._assigned: dict[Where, Place] = {}
        self._behind: set[Where] = set()
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
        """Why the index may not know what others know now; None when it does."""
        if self._away is not None:
            return f"{self._away}{self._followed.trouble}"
        if self._behind:
            return f"{len(self._behind)} partitions are still being read"
        return None

    def reached(self) -> Mapping[Place, int]:
        """What it reads next in each partition: it does not go back behind that."""
        return dict(self._next)

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
        delays, renewal = pauses(), Renewal(self._followed.kafka)
        while not self._stop.is_set():
            renewal.taken()
            consumer = self._followed.consumer(self._note_brokers)
            try:
                self._follow(consumer, renewal)
            except (KafkaException, Retriable, sqlite3.Error, OSError) as error:
                consumer.poll(0)  # else what was said of the connection is not heard
                self._away = f"the log cannot be followed: {error}"
                said = f"{error}{self._followed.trouble}"
                log.warning("cannot follow, trying again", error=said)
                self._progress.beat()
                self._stop.wait(next(delays))
            finally:
                consumer.close()

    def _follow(self, consumer: Consumer, renewal: Renewal) -> None:
        topics = self._followed.topics()
        self._assigned = {}
        listed = forgot = float("-inf")
        while not self._stop.is_set() and not renewal.due():
            now = time.monotonic()
            if now - listed > RELIST_SECONDS:
                self._assign(consumer, self._followed.places(topics))
                listed = now
            if now - forgot > FORGET_SECONDS:
                self._index.forget()
                forgot = now
            self._take(consumed(consumer))
            self._progress.beat()

    def _assign(self, consumer: Consumer, places: Mapping[Where, Place]) -> None:
        """Read every partition that there is; new ones may have come."""
        for where, place in self._assigned.items():
            if places.get(where) != place:
                raise Retriable(f"topic {where[0]} was made anew")
        if not self.begun.is_set():
            self._next = {p: _end(consumer, where) for where, p in places.items()}
            self.begun.set()
        new = {
            where: place
            for where, place in places.items()
            if where not in self._assigned
        }
        if new:
            # What came after the first look is read from its beginning.
            young = [where for where, place in new.items() if place not in self._next]
            if young:
                log.warning("new partitions are read from their beginning", at=young)
            starts = [
                TopicPartition(*where, self._next.setdefault(place, 0))
                for where, place in new.items()
            ]
            consumer.incremental_assign(starts)
            self._assigned |= new
            self._behind |= set(new)
        self._away = None

    def _take(self, messages: Sequence[Delivered]) -> None:
        records: list[Delivered] = []
        ends: dict[Place, int] = {}
        for message in messages:
            where = (message.topic(), message.partition())
            error = message.error()
            if error is not None:
                self._note_error(error, where)
                continue
            records.append(message)
            ends[self._assigned[where]] = message.offset() + 1
        if records:
            facts = self._reader.read(records)
            ranges = [Range(each, self._next[each], end) for each, end in ends.items()]
            self._index.write(facts, ranges)
            self._next |= ends
            self._news.tell(facts)

    def _note_error(self, error: KafkaError, where: Where) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._behind.discard(where)
        elif not passes(error):
            raise KafkaException(error)

    def _note_brokers(self, statistics: str) -> None:
        """Whether any broker is connected: silence alone does not tell."""
        brokers = json.loads(statistics)["brokers"].values()
        up = any(broker["state"] == "UP" for broker in brokers)
        self._away = None if up else "no broker is connected"


def _count(packed: Iterable[Sequence[Sized]]) -> int:
    return sum(len(each) for mine in packed for each in mine)


def _end(consumer: Consumer, where: Where) -> int:
    _, end = consumer.get_watermark_offsets(TopicPartition(*where), REQUEST_SECONDS)
    return int(end)
