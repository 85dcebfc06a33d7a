"""Where to start in a partition that was just assigned, or why a person must decide.

Start = min(group offset, position): records below the position are not applied again,
their results are read from the ledger and published; records below the group offset
are not published again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.bank.ledger import Position
from consumers.bank.posting import Poster
from once.errors import Refused, Retriable

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of a partition when its work begins."""

    position: Position
    group_offset: int

    @property
    def offset(self) -> int:
        """The first offset to read."""
        return min(self.group_offset, self.position.next_offset)


def topic_id(admin: AdminClient, topic: str) -> str:
    """The id that a topic keeps for life. Raises Retriable when it is not there."""
    try:
        described = admin.describe_topics(
            TopicCollection([topic]), request_timeout=TIMEOUT_SECONDS
        )
        return str(described[topic].result().topic_id)
    except KafkaException as error:
        raise Retriable(f"topic {topic} cannot be described: {error}") from error


def begin(
    consumer: Consumer,
    poster: Poster,
    group: str,
    current_topic_id: str,
    partitions: Sequence[int],
) -> dict[int, Start]:
    """Open the positions of these partitions.

    Raises Refused when going on could lose or repeat money; Retriable when Kafka or
    Postgres is away.
    """
    topic = poster.ledger.topic
    opened = poster.open(partitions, current_topic_id)
    try:
        offsets = _group_offsets(consumer, topic, partitions)
        for partition, (known_id, position) in opened.items():
            _check_topic(topic, known_id, current_topic_id)
            if offsets[partition] is None and position.batch_number == 0:
                _commit_first(consumer, topic, partition)
                offsets[partition] = 0
        return {
            partition: _start(consumer, topic, group, partition, tail, offset)
            for partition, (_, tail) in opened.items()
            for offset in (offsets[partition],)
        }
    except KafkaException as error:
        raise Retriable(f"while opening partitions of {topic}: {error}") from error


def _group_offsets(
    consumer: Consumer, topic: str, partitions: Sequence[int]
) -> dict[int, int | None]:
    asked = [TopicPartition(topic, partition) for partition in partitions]
    answer = consumer.committed(asked, TIMEOUT_SECONDS)
    for found in answer:
        if found.error is not None:
            raise KafkaException(found.error)
    return {
        found.partition: None if found.offset == OFFSET_INVALID else found.offset
        for found in answer
    }


def _commit_first(consumer: Consumer, topic: str, partition: int) -> None:
    """Write the group offset 0 down: a missing one then always means a lost one."""
    consumer.commit(offsets=[TopicPartition(topic, partition, 0)], asynchronous=False)


def _check_topic(topic: str, known_id: str, current_id: str) -> None:
    if known_id != current_id:
        raise Refused(
            f"topic {topic} was deleted and created again (its id was {known_id}, is "
            f"{current_id}): the positions in the ledger are the old one's; see "
            "docs/runbooks/topic-recreated.md"
        )


def _start(
    consumer: Consumer,
    topic: str,
    group: str,
    partition: int,
    position: Position,
    group_offset: int | None,
) -> Start:
    here = f"{topic}[{partition}]"
    if group_offset is None:
        raise Refused(
            f"the offset of group {group} in {here} is gone (expired or deleted): it "
            "is unknown which results are published; see docs/runbooks/offset-lost.md"
        )
    start = Start(position, group_offset)
    low, high = consumer.get_watermark_offsets(
        TopicPartition(topic, partition), TIMEOUT_SECONDS
    )
    if start.offset < low:
        raise Refused(
            f"{here} begins at offset {low}, but {start.offset} is due: retention "
            "deleted records that were not applied, or results were not published; "
            "see docs/runbooks/position-not-in-log.md"
        )
    if position.next_offset > high:
        raise Refused(
            f"{here} ends at offset {high}, but the ledger has applied up to "
            f"{position.next_offset}: the log lost records; "
            "see docs/runbooks/position-not-in-log.md"
        )
    return start
