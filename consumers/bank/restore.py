"""Restore mode: an older ledger takes the verdicts that were published.

A ledger that was restored to a point in time is behind the group's offset. What lies
between was decided and told to customers. To decide it again could say something else:
accounts have been opened, frozen and limited since. So the verdicts of that range come
from the results topic, and the money follows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.bank.batch import Records, Slice
from consumers.bank.codec import Fault, Reason
from consumers.bank.verdicts import Verdict
from once import kafka, logs
from once.errors import Refused, Retriable
from once.reader import AvroReader

log = logs.get(__name__)

SECONDS_MAX = 15.0
SILENCE_SECONDS_MAX = 60.0
RECORDS_PER_READ = 1_000

_AGAIN = Fault(
    Reason.UNKNOWN_SCHEMA, "was set aside when it was first read; restored as told"
)


class Told:
    """Published verdicts by partition and offset, of the ranges that are restored."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._verdicts: dict[int, dict[int, int]] = {}
        self.until: dict[int, int] = {}  # group offset by partition: told below it

    def expect(self, partition: int, until: int) -> None:
        """Verdicts of this partition are told up to an offset."""
        self.until[partition] = until
        self._verdicts[partition] = {}

    def take(self, partition: int, position: int, results: Sequence[Any]) -> None:
        """Results of one record of the results topic."""
        mine = self._verdicts.get(partition)
        if mine is None:
            return
        for result in results:
            if position <= result["offset"] < self.until[partition]:
                mine[result["offset"]] = Verdict[result["verdict"]]

    def split(self, parts: Sequence[Records]) -> tuple[list[Records], list[Records]]:
        """Records whose verdicts are told, and those that are to be decided."""
        told: list[Records] = []
        rest: list[Records] = []
        for records in parts:
            below, others = records.split(self.until.get(records.partition, 0))
            told += [below] if below.offsets else []
            rest += [others] if others.offsets else []
        return told, rest

    def unread(self, slices: Sequence[Slice]) -> dict[int, dict[int, Fault]]:
        """Records that were set aside then and could be read now."""
        found: dict[int, dict[int, Fault]] = {}
        for piece in slices:
            for row, offset in enumerate(piece.records.offsets):
                aside = self._verdict(piece, offset) == Verdict.QUARANTINED
                if aside and row not in piece.faults:
                    found.setdefault(piece.partition, {})[offset] = _AGAIN
        return found

    def verdicts(self, slices: Sequence[Slice]) -> list[list[int]]:
        """One verdict per transfer of every slice. Raises Refused."""
        return [
            [self._verdict(piece, offset) for offset in piece.offsets]
            for piece in slices
        ]

    def ended(self, partition: int) -> None:
        """All that was told of this partition is in the ledger."""
        self.until.pop(partition, None)
        self._verdicts.pop(partition, None)

    def _verdict(self, piece: Slice, offset: int) -> int:
        verdict = self._verdicts[piece.partition].get(offset)
        row = piece.records.offsets.index(offset) if piece.faults else -1
        faulty = row in piece.faults
        if verdict is None:
            raise Refused(
                f"no result of {self._topic}[{piece.partition}]@{offset} is in the "
                "results topic (any more), so it cannot be restored; see "
                "docs/runbooks/ledger-behind.md",
                piece.partition,
            )
        if faulty and verdict != Verdict.QUARANTINED:
            raise Refused(
                f"{self._topic}[{piece.partition}]@{offset} was read when it was "
                f"decided and cannot be now ({piece.faults[row].detail}); is the "
                "registry complete? See docs/runbooks/ledger-behind.md",
                piece.partition,
            )
        return verdict


def read_results(
    config: Mapping[str, Any],
    group: str,
    topic: str,
    reader: AvroReader,
    take: Callable[[int, Sequence[Any]], None],
    beat: Callable[[], None],
) -> None:
    """Give every committed result to `take(partition of the log, results)`.

    Raises Retriable when the brokers fall silent.
    """
    consumer = kafka.client(
        Consumer,
        {
            **config,
            "group.id": group,  # which it may read for; it joins and commits nothing
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 2,
        },
    )
    try:
        there = consumer.list_topics(topic, SECONDS_MAX).topics[topic].partitions
        left = set(there)
        consumer.assign([TopicPartition(topic, p, 0) for p in there])
        heard = time.monotonic()
        while left:
            beat()
            messages = consumer.consume(RECORDS_PER_READ, 0.5)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS_MAX:
                raise Retriable(f"nothing is heard of {topic}")
            for message in messages:
                error = message.error()
                if error is None:
                    _take(message, reader, take)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise KafkaException(error)
    except KafkaException as error:
        raise Retriable(f"while reading {topic}: {error}") from error
    finally:
        consumer.close()


def _take(
    message: Any, reader: AvroReader, take: Callable[[int, Sequence[Any]], None]
) -> None:
    try:
        record = reader.read(message.value())
    except ValueError as error:
        log.warning("no results record", offset=message.offset(), error=str(error))
        return
    take(record["partition"], record["results"])
