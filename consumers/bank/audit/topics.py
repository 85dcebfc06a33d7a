"""Reads topics as any outsider would: read committed, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from once.errors import Retriable
from once.kafka import Trouble, client, onlooker

RECORDS_PER_READ = 10_000
TIMEOUT_SECONDS = 15.0
SILENCE_SECONDS_MAX = 60.0
OPEN_SECONDS_MAX = 60.0  # far beyond any transaction's timeout
POLL_SECONDS = 0.1  # a partition's end is noticed this late


class Topics:
    """A reader that belongs to no group and commits nothing."""

    def __init__(self, kafka: dict[str, str], group: str) -> None:
        self._trouble = Trouble()
        self._admin = client(AdminClient, kafka)
        self._consumer = onlooker(
            {**kafka, "queued.max.messages.kbytes": 65_536},
            group,
            "earliest",
            self._trouble,
        )

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic. Raises Retriable."""
        try:
            found = self._consumer.list_topics(topic, timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            self._consumer.poll(0)  # serves what is said of the connection
            raise Retriable(f"topic {topic}: {error}{self._trouble}") from error
        return sorted(found.topics[topic].partitions)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and stable end of a partition. Raises Retriable."""
        try:
            return self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), TIMEOUT_SECONDS
            )
        except KafkaException as error:
            raise Retriable(f"{topic}[{partition}]: {error}") from error

    def decided_ends(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and an end below which everything of this moment is decided.

        What lies in open transactions now is waited for: a group's offset can be seen
        a little before the results that were committed together with it. Raises
        Retriable when a transaction stays open.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, partition): latest}
        try:
            (answer,) = self._admin.list_offsets(
                asked,
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=TIMEOUT_SECONDS,
            ).values()
            high = answer.result().offset
        except KafkaException as error:
            raise Retriable(f"{topic}[{partition}]: {error}") from error
        deadline = time.monotonic() + OPEN_SECONDS_MAX
        while (ends := self.ends(topic, partition))[1] < high:
            if time.monotonic() > deadline:
                raise Retriable(f"{topic}[{partition}]: a transaction stays open")
            time.sleep(0.05)  # nothing tells a reader that a transaction has ended
        return ends

    def group_offsets(self, topic: str) -> dict[int, int]:
        """What the group has committed, where it has; waits for pending commits."""
        asked = [TopicPartition(topic, p) for p in self.partitions(topic)]
        try:
            answer = self._consumer.committed(asked, TIMEOUT_SECONDS)
        except KafkaException as error:
            raise Retriable(f"group offsets of {topic}: {error}") from error
        for found in answer:
            if found.error is not None:
                raise Retriable(f"group offset of {topic}: {found.error.str()}")
        return {found.partition: found.offset for found in answer if found.offset >= 0}

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
    good, done = [], False
    for message in messages:
        error = message.error()
        if error is None:
            if message.offset() < until:
                good.append(message)
            done = done or message.offset() >= until - 1
        elif error.code() == KafkaError._PARTITION_EOF:
            done = done or message.offset() >= until
        else:
            raise Retriable(f"reading {message.topic()}: {error.str()}")
    return good, done
