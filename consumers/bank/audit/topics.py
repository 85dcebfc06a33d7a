"""Reads topics as any outsider would: read committed, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from once.asking import ask
from once.errors import Retriable
from once.kafka import Trouble, client, onlooker, passes

T = TypeVar("T")

RECORDS_PER_READ = 10_000
# One partition at a time is read: what comes at once from it must last for a while.
READ_AHEAD = {
    "queued.max.messages.kbytes": 65_536,
    "fetch.message.max.bytes": 8 << 20,
}
TIMEOUT_SECONDS = 15.0
ASKING_SECONDS_MAX = 60.0  # a cluster that is healthy has a leader long before
SILENCE_SECONDS_MAX = 60.0
OPEN_SECONDS_MAX = 60.0  # far beyond any transaction's timeout
POLL_SECONDS = 0.1  # a partition's end is noticed this late


class Topics:
    """A reader that belongs to no group and commits nothing."""

    def __init__(self, kafka: dict[str, str], group: str) -> None:
        self._trouble = Trouble()
        self._admin = client(AdminClient, kafka)
        self._consumer = onlooker(
            {**kafka, **READ_AHEAD},
            group,
            "earliest",
            self._trouble,
        )

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic. Raises Retriable."""

        def listed() -> list[int]:
            found = self._consumer.list_topics(topic, timeout=TIMEOUT_SECONDS)
            there = found.topics[topic]
            if there.error is not None:
                raise KafkaException(there.error)
            return sorted(there.partitions)

        doing = f"asking for the partitions of {topic}"
        return ask(listed, doing, TIMEOUT_SECONDS, self._trouble)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and stable end of a partition. Raises Retriable."""
        place = TopicPartition(topic, partition)
        return self._ask(
            lambda: self._consumer.get_watermark_offsets(place, TIMEOUT_SECONDS),
            f"asking where {topic}[{partition}] ends",
        )

    def decided_ends(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and an end below which everything of this moment is decided.

        What lies in open transactions now is waited for: a group's offset can be seen
        a little before the results that were committed together with it. Raises
        Retriable when a transaction stays open.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, partition): latest}

        def listed() -> int:
            (answer,) = self._admin.list_offsets(
                asked,
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=TIMEOUT_SECONDS,
            ).values()
            return int(answer.result().offset)

        high = self._ask(listed, f"asking where {topic}[{partition}] ends")
        deadline = time.monotonic() + OPEN_SECONDS_MAX
        while (ends := self.ends(topic, partition))[1] < high:
            if time.monotonic() > deadline:
                raise Retriable(f"{topic}[{partition}]: a transaction stays open")
            time.sleep(0.05)  # nothing tells a reader that a transaction has ended
        return ends

    def group_offsets(self, topic: str) -> dict[int, int]:
        """What the group has committed, where it has; waits for pending commits."""
        asked = [TopicPartition(topic, p) for p in self.partitions(topic)]

        def committed() -> dict[int, int]:
            answer = self._consumer.committed(asked, TIMEOUT_SECONDS)
            for found in answer:
                if found.error is not None:
                    raise KafkaException(found.error)
            return {f.partition: f.offset for f in answer if f.offset >= 0}

        return self._ask(committed, f"asking for the group's offsets in {topic}")

    def _ask(self, call: Callable[[], T], doing: str) -> T:
        return ask(call, doing, ASKING_SECONDS_MAX, self._trouble)

    def read(
        self, topic: str, partition: int, start: int, until: int
    ) -> Iterator[list[Any]]:
        """Committed messages with start <= offset < until, some at a time.

        Ends when the log is read up to `until`. Raises Retriable when it stays silent.
        """
        if start >= until:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        try:
            waited = 0.0
            while True:
                messages = self._consumer.consume(RECORDS_PER_READ, POLL_SECONDS)
                waited = 0.0 if messages else waited + POLL_SECONDS
                if waited > SILENCE_SECONDS_MAX:
                    raise Retriable(
                        f"{topic}[{partition}] gives no records before {until}"
                    )
                good, done = _sort(messages, until)
                if good:
                    yield good
                if done:
                    return
        finally:
            self._consumer.unassign()


def _sort(messages: list[Any], until: int) -> tuple[list[Any], bool]:
    """The messages below `until`, and whether the log was read up to there."""
    records = [message for message in messages if message.error() is None]
    done = bool(records) and records[-1].offset() >= until - 1
    for message in messages if len(records) < len(messages) else ():
        error = message.error()
        if error is None:
            continue
        if error.code() == KafkaError._PARTITION_EOF:
            done = done or message.offset() >= until
        elif not passes(error):
            raise Retriable(f"while reading {message.topic()}: {error.str()}")
    if not done:
        return records, False
    return [message for message in records if message.offset() < until], True
