"""Where to start in a partition that was just assigned, or why a person must decide.

Start = min(group offset, position): records below the position are not applied again,
their results are read from the ledger and published; records below the group offset
are not published again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaException,
    TopicPartition,
)

from consumers.bank import log_tail
from consumers.bank.group_offset import Origin, metadata, origin_of
from consumers.bank.position import Position
from consumers.bank.posted import Opened
from once import logs
from once.errors import Refused, Retriable

log = logs.get(__name__)

TIMEOUT_SECONDS = 10.0

HashOf = Callable[[int, int, int], bytes | None]


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of a partition when its work begins."""

    position: Position
    group_offset: int
    log_begins: int = 0

    @property
    def offset(self) -> int:
        """The first offset to read."""
        return max(min(self.group_offset, self.position.next_offset), self.log_begins)


class GroupOffset(NamedTuple):
    """What the group has committed in one partition."""

    offset: int
    origin: Origin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Opens partitions that were just assigned: each starts, or is refused."""

    consumer: Consumer
    kafka: Mapping[str, Any]
    group: str
    topic: str
    topic_id: str
    restoring: bool

    def starts(
        self, opened: Opened, hash_of: HashOf, refuse: Callable[[int, str], None]
    ) -> dict[int, Start]:
        """Where to start in each partition; `refuse(partition, why)` where not.

        The group's offset of a new one is committed, and of one that is restored.

        `hash_of(partition, batch_number, end)` is the ledger's after a batch, or None
        when it has no such batch that ends there.

        Raises Refused for what concerns all partitions, Retriable when Kafka or
        Postgres is away.
        """
        for known_id, _ in opened.positions.values():
            self._check_topic(known_id)
        try:
            starts: dict[int, Start] = {}
            for partition, offset in self._group_offsets(opened).items():
                _, position = opened.positions[partition]
                try:
                    self._check_origin(opened, hash_of, partition, position, offset)
                    starts[partition] = self._start(partition, position, offset)
                except Refused as error:
                    refuse(partition, str(error))
            for partition, why in self._other_logs(starts).items():
                del starts[partition]
                refuse(partition, why)
            return starts
        except KafkaException as error:
            raise Retriable(
                f"while opening partitions of {self.topic}: {error}"
            ) from error

    def _check_topic(self, known_id: str) -> None:
        if known_id != self.topic_id:
            raise Refused(
                f"topic {self.topic} was deleted and created again (its id was "
                f"{known_id}, is {self.topic_id}): the positions in the ledger are the "
                "old one's; see docs/runbooks/topic-recreated.md"
            )

    def _group_offsets(self, opened: Opened) -> dict[int, GroupOffset | None]:
        asked = [TopicPartition(self.topic, p) for p in opened.positions]
        found: dict[int, GroupOffset | None] = {}
        for answer in self.consumer.committed(asked, TIMEOUT_SECONDS):
            if answer.error is not None:
                raise KafkaException(answer.error)
            _, position = opened.positions[answer.partition]
            if answer.offset != OFFSET_INVALID:
                offset = GroupOffset(answer.offset, origin_of(answer.metadata))
                found[answer.partition] = offset
            elif position.batch_number:
                found[answer.partition] = None
            else:
                found[answer.partition] = self.commit(
                    opened.ledger_id, answer.partition, position
                )
        return found

    def commit(self, ledger_id: str, partition: int, position: Position) -> GroupOffset:
        """Commit the position itself, outside of any transaction.

        At the very first start a zero is written down: a missing one then always means
        a lost one. Raises KafkaException.
        """
        text = metadata(ledger_id, position)
        offset = TopicPartition(self.topic, partition, position.next_offset, text)
        self.consumer.commit(offsets=[offset], asynchronous=False)
        return GroupOffset(position.next_offset, origin_of(text))

    def claim(self, ledger_id: str, partition: int, position: Position) -> None:
        """Commit the same offset as this ledger's own. Raises Retriable."""
        try:
            self.commit(ledger_id, partition, position)
        except KafkaException as error:
            raise Retriable(f"while committing an offset: {error}") from error

    def _check_origin(
        self,
        opened: Opened,
        hash_of: HashOf,
        partition: int,
        position: Position,
        offset: GroupOffset | None,
    ) -> None:
        """Whether it was this ledger, and no later state of it, that was published."""
        here = f"{self.topic}[{partition}]"
        if offset is None:
            raise Refused(
                f"the offset of group {self.group} in {here} is gone (expired or "
                "deleted): it is unknown which results are published; "
                "see docs/runbooks/offset-lost.md"
            )
        origin = offset.origin
        if origin is None:
            log.info("group offset was set by a tool", partition=partition)
        elif origin.ledger_id != opened.ledger_id:
            raise Refused(
                f"group {self.group} publishes another ledger in {here}: its offset is "
                f"of ledger {origin.ledger_id}, this one is {opened.ledger_id}; give "
                "each ledger a group of its own (BANK_GROUP), or see "
                "docs/runbooks/ledger-behind.md"
            )
        if self.restoring:
            if offset.offset == position.next_offset:  # restored, and perhaps not told
                self.commit(opened.ledger_id, partition, position)
            return
        if offset.offset > position.next_offset:
            raise Refused(
                f"results of {here} are published up to {offset.offset}, but the "
                f"ledger has applied up to {position.next_offset} only: it is an older "
                "copy, or the group's offset was set by hand; "
                "see docs/runbooks/ledger-behind.md"
            )
        if origin is None or not origin.batch_number:
            return
        known = position.hash_at(offset.offset) or hash_of(
            partition, origin.batch_number, offset.offset
        )
        if known is None or known.hex() != origin.hash:
            raise Refused(
                f"what was published of {here} up to {offset.offset} is not what this "
                f"ledger has in batch {origin.batch_number}: it is an older copy that "
                "has gone on; see docs/runbooks/ledger-behind.md"
            )

    def _start(
        self, partition: int, position: Position, offset: GroupOffset | None
    ) -> Start:
        assert offset is not None, "refused before"
        here = f"{self.topic}[{partition}]"
        due = min(offset.offset, position.next_offset)
        low, high = self.consumer.get_watermark_offsets(
            TopicPartition(self.topic, partition), TIMEOUT_SECONDS
        )
        # What was seen behind the last record are markers, which retention may take.
        nothing_lost = due == position.next_offset and low <= position.seen_until
        if due < low and not nothing_lost:
            raise Refused(
                f"{here} begins at offset {low}, but {due} is due: retention "
                "deleted records that were not applied, or results were not "
                "published; see docs/runbooks/position-not-in-log.md"
            )
        if position.next_offset > high:
            raise Refused(
                f"{here} ends at offset {high}, but the ledger has applied up to "
                f"{position.next_offset}: the log lost records; "
                "see docs/runbooks/position-not-in-log.md"
            )
        return Start(position, offset.offset, low)

    def _other_logs(self, starts: Mapping[int, Start]) -> dict[int, str]:
        """Partitions whose log does not hold the record that was applied last."""
        last = {
            partition: start.position.next_offset - 1
            for partition, start in starts.items()
            if start.position.last_digest is not None
            and start.log_begins < start.position.next_offset
        }
        found = log_tail.digests(self.kafka, self.group, self.topic, last)
        return {
            partition: (
                f"{self.topic}[{partition}] holds another record at offset "
                f"{last[partition]} than the one that the ledger has applied: the log "
                "was cut and has grown again, so records may be missing; "
                "see docs/runbooks/position-not-in-log.md"
            )
            for partition, digest in found.items()
            if digest != starts[partition].position.last_digest
        }


def offsets_to_commit(
    topic: str, ledger_id: str, after: Mapping[int, tuple[int, Position | None]]
) -> Sequence[TopicPartition]:
    """(offset, position if it is one) by partition, as a group commits them."""
    return [
        TopicPartition(topic, partition, offset, metadata(ledger_id, position))
        for partition, (offset, position) in after.items()
    ]
