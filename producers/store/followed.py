"""The two topics that a Store follows, receipts and results: clients and readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import Consumer

from once.errors import Defect, Retriable
from once.kafka import Trouble, client
from once.registry import Registry
from producers.store.facts import Place
from producers.store.reading import Delivered, FactReader
from producers.store.states import Verdicts
from producers.store.topics import Topics

Where = tuple[str, int]  # a topic's name, and a partition
MESSAGES_MAX = 200
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Followed:
    """How to reach the topics. Each thread has a consumer and a reader of its own."""

    kafka: Mapping[str, str]
    registry: Registry
    receipts_topic: str
    results_topic: str
    verdicts: Verdicts
    trouble: Trouble

    def consumer(self, statistics: Callable[[str], None] | None = None) -> Consumer:
        """One that belongs to no group. Raises Defect for a setting that is wrong."""
        settings: dict[str, Any] = {
            **self.kafka,
            "group.id": "store-follower",  # asked for by the client, joined by nobody
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.min.bytes": 100_000,
            "fetch.wait.max.ms": 100,
        }
        if statistics is not None:
            settings |= {"statistics.interval.ms": 5_000, "stats_cb": statistics}
        return client(Consumer, settings, self.trouble)

    def reader(self) -> FactReader:
        """What makes facts of records."""
        return FactReader(
            self.registry, results_topic=self.results_topic, verdicts=self.verdicts
        )

    def topics(self) -> Topics:
        """What can be asked about topics."""
        return Topics(self.kafka, self.trouble)

    def places(self, topics: Topics) -> dict[Where, Place]:
        """Every partition that there is. Raises Retriable, also for what is wrong.

        A topic may be on its way, or its rights: at start and for those who only look
        that is no reason to end.
        """
        places: dict[Where, Place] = {}
        for name in (self.receipts_topic, self.results_topic):
            try:
                topic = topics.describe(name)
            except Defect as error:
                raise Retriable(str(error)) from error
            for partition in range(topic.partition_count):
                places[name, partition] = Place(topic.id, partition)
        return places


def consumed(consumer: Consumer) -> list[Delivered]:
    """What has come; the stub of confluent_kafka knows less of it than we do."""
    return cast(list[Delivered], consumer.consume(MESSAGES_MAX, POLL_SECONDS))
