"""A Kafka reader that leaves no trace: it joins no group and commits nothing.

The client library wants a group name all the same; no group of that name ever exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from once.asking import ask
from once.errors import Defect, Retriable
from once.kafka import Trouble, client

GROUP = "peek"
MESSAGES_PER_READ = 2_000
ANSWER_SECONDS_MAX = 10.0
QUEUE_KIB = 16_384  # fetched ahead; a person reads far less

_ENDS_READING = {
    KafkaError._AUTO_OFFSET_RESET: "the log no longer holds the offset",
    KafkaError.OFFSET_OUT_OF_RANGE: "the log no longer holds the offset",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic is gone",
    KafkaError._UNKNOWN_PARTITION: "the partition is gone",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "reading is not allowed",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A record at `offset`, or (None) the news that all before `offset` was read."""

    partition: int
    offset: int
    message: Message | None


class Reader:
    """One consumer with one isolation level, on chosen partitions of one topic."""

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, isolation_level: str
    ) -> None:
        """`kafka` are librdkafka settings. Raises Defect when they are wrong."""
        self._servers = kafka["bootstrap.servers"]
        self._topic = topic
        self._held: set[int] = set()
        self._trouble = Trouble()
        settings = {
            **kafka,
            "group.id": GROUP,
            "isolation.level": isolation_level,
            "allow.auto.create.topics": False,  # to look at a topic must not make it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": QUEUE_KIB,
        }
        self._consumer = client(Consumer, settings, self._trouble)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def trouble(self) -> str:
        """What is known of connections that fail, in brackets; empty: nothing."""
        return str(self._trouble)

    def partitions(self) -> list[int]:
        """The partitions of the topic. Raises Retriable, Defect (no such topic)."""
        try:
            found = self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS_MAX)
        except KafkaException as error:
            # Why is told only now; nothing is assigned yet, so no record is lost here.
            self._consumer.poll(0)
            raise Retriable(
                f"no broker answers at {self._servers} ({_text(error)}){self.trouble}"
            ) from error
        topic = found.topics[self._topic]
        if topic.error is not None:
            raise Defect(f"topic {self._topic}: {topic.error.str()}")
        return sorted(topic.partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset, and the one after the last that this reader may read.

        That is the end of the log, or for committed records the last stable offset.
        Raises Retriable.
        """
        place = TopicPartition(self._topic, partition)
        return ask(
            lambda: self._consumer.get_watermark_offsets(place, ANSWER_SECONDS_MAX),
            f"asking the brokers at {self._servers} where {self._topic} [{partition}]"
            " ends",
            ANSWER_SECONDS_MAX,
            self._trouble,
        )

    def start(self, offsets: Mapping[int, int]) -> None:
        """Read from these offsets, by partition."""
        self._consumer.assign(
            [TopicPartition(self._topic, p, offset) for p, offset in offsets.items()]
        )

    def read(self, seconds_max: float) -> list[Step]:
        """What came meanwhile; a broker that is away is waited for.

        Raises Defect when reading cannot go on.
        """
        steps = []
        for message in self._consumer.consume(MESSAGES_PER_READ, seconds_max):
            error, partition = message.error(), int(message.partition() or 0)
            if error is None:
                steps.append(Step(partition, int(message.offset() or 0), message))
            elif error.code() == KafkaError._PARTITION_EOF:
                steps.append(Step(partition, int(message.offset() or 0), None))
            elif error.code() in _ENDS_READING:
                why = _ENDS_READING[error.code()]
                raise Defect(f"{self._topic} [{partition}]: {why} ({error.str()})")
        return steps

    def hold(self, partition: int, count: int, count_max: int) -> None:
        """Pause a partition `count` records ahead; go on when half are left."""
        place = [TopicPartition(self._topic, partition)]
        if partition not in self._held and count >= count_max:
            self._consumer.pause(place)
            self._held.add(partition)
        elif partition in self._held and count <= count_max // 2:
            self._consumer.resume(place)
            self._held.remove(partition)


def _text(raised: KafkaException) -> str:
    error: KafkaError = raised.args[0]
    return error.str()
