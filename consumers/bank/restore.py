"""Restore mode: an older ledger takes the verdicts that were published.

A ledger that was restored to a point in time is behind the group's offset. What lies
between was decided and told to customers. To decide it again could say something else:
accounts have been opened, frozen and limited since. So the verdicts of that range come
from the results topic, and the money follows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.bank.assignment import Start
from consumers.bank.settings import BankSettings
from consumers.bank.told import Told
from once import kafka, logs
from once.errors import OnceError, Retriable
from once.published import Published, PublishedReader
from once.registry import Registry

log = logs.get(__name__)

SECONDS_MAX = 15.0
SILENCE_SECONDS_MAX = 60.0
RECORDS_PER_READ = 1_000


class Restore(Told):
    """What was told beyond the positions of partitions of ours; nothing, mostly."""

    def __init__(
        self, settings: BankSettings, registry: Registry, beat: Callable[[], None]
    ) -> None:
        super().__init__(settings.topic)
        self._settings = settings
        self._registry = registry
        self._beat = beat

    def begin(self, starts: Mapping[int, Start]) -> None:
        """Read what was told of partitions that are ours now. Raises Retriable."""
        due = {
            partition: start.group_offset
            for partition, start in starts.items()
            if start.group_offset > start.position.next_offset
        }
        if not due:
            return
        log.warning("restoring: results are read first", up_to=due)
        for partition, until in due.items():
            self.expect(partition, until)

        def take(told: Published) -> None:
            if told.partition in due:
                self.take(starts[told.partition].position.next_offset, told)

        read_results(
            self._settings.client,
            group=self._settings.group,
            topic=self._settings.results_topic,
            reader=PublishedReader(self._registry),
            take=take,
            beat=self._beat,
        )


def read_results(
    config: Mapping[str, Any],
    *,
    group: str,
    topic: str,
    reader: PublishedReader,
    take: Callable[[Published], None],
    beat: Callable[[], None],
) -> None:
    """Give what every committed results record says to `take`.

    Raises Retriable when the brokers fall silent.
    """
    consumer = kafka.onlooker(config, group, "earliest")
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
                elif not kafka.passes(error):
                    raise KafkaException(error)
    except KafkaException as error:
        raise Retriable(f"while reading {topic}: {error}") from error
    finally:
        consumer.close()


def _take(
    message: Any, reader: PublishedReader, take: Callable[[Published], None]
) -> None:
    try:
        told = reader.read(message.value())
    except OnceError:
        raise  # the registry is away: that says nothing about the record
    except Exception as unreadable:  # of any kind: the bytes may be a stranger's
        log.warning(
            "no results record", offset=message.offset(), error=repr(unreadable)
        )
        return
    take(told)
