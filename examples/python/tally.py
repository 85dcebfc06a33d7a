"""Count the verdicts of Once into a table of one's own: each counts exactly once.

    python tally.py

A consumer of `transfer-results` on the engine of Once. It keeps one memory: the
position is committed with the counts. Kill it, start two of it, take its database away
for a while: no verdict is missing in the table, none is counted twice.

Needs the package `once` (pip install .) and, in the environment,
TALLY_BOOTSTRAP_SERVERS, TALLY_REGISTRY_URL and TALLY_CONNINFO. Exit status: 0 told to
end, 70 start it again, 78 settings are wrong.
"""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import chain
from typing import Any

import psycopg
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from once import cli, kafka, logs
from once.errors import Fenced
from once.postgres import from_postgres
from once.reader import AvroReader
from once.registry import Registry
from once.settings import KafkaAndRegistrySettings, load

SCHEMA = "avro/transfer-results.avsc"
TABLES = """
CREATE TABLE IF NOT EXISTS tally (verdict text PRIMARY KEY, records bigint NOT NULL);
CREATE TABLE IF NOT EXISTS tally_positions (
    topic text, partition integer, next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition));
"""
RECORDS_MAX = 5_000
log = logs.get(__name__)


class Settings(KafkaAndRegistrySettings):
    """From the environment: TALLY_..."""

    model_config = SettingsConfigDict(env_prefix="TALLY_", extra="ignore")

    topic: str = "transfer-results"
    conninfo: SecretStr = Field(description="of a database of its own")


class Tally:
    """Verdicts by name, and how far they are counted: both move in one COMMIT."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic
        self._connection = psycopg.connect(settings.conninfo.get_secret_value())
        self._connection.execute(TABLES.encode())
        self._connection.commit()
        registry = Registry(settings.registry_url, settings.registry_ca)
        self._reader = AvroReader(registry, SCHEMA)
        self._positions: dict[int, int] = {}
        self._batch: dict[int, list[Message]] = defaultdict(list)

    def assign(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Begin where the table says, not where Kafka thinks."""
        partitions = [each.partition for each in given]
        begin = [OFFSET_BEGINNING for _ in given]
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO tally_positions"
                " SELECT %s, * FROM unnest(%s::int[], %s::bigint[])"
                " ON CONFLICT DO NOTHING",
                (self._topic, partitions, begin),
            )
            rows = self._connection.execute(
                "SELECT partition, next_offset FROM tally_positions"
                " WHERE topic = %s AND partition = ANY (%s)",
                (self._topic, partitions),
            ).fetchall()
        self._positions = dict(rows)
        consumer.assign([TopicPartition(self._topic, *row) for row in rows])

    def revoke(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        """Whoever gets them reads what is not counted."""
        self._batch.clear()

    def read(self, consumer: Consumer) -> None:
        """Take what is there, some thousand records at most."""
        for _ in range(RECORDS_MAX):
            message = consumer.poll(0.0 if self._batch else 0.5)
            if message is None:
                return
            if message.error():
                raise KafkaException(message.error())
            self._batch[message.partition() or 0].append(message)

    def count(self) -> None:
        """Each partition's records count if nobody has counted them. Raises Fenced."""
        for partition, messages in self._batch.items():
            records = [self._reader.read(each.value()) for each in messages]
            results = chain.from_iterable(record["results"] for record in records)
            verdicts = Counter(result["verdict"] for result in results)
            behind = (messages[-1].offset() or 0) + 1
            with self._connection.transaction():
                self._advance(partition, behind)
                self._add(verdicts)
            self._positions[partition] = behind
            log.info("counted", partition=partition, records=len(messages))
        self._batch.clear()

    def _advance(self, partition: int, behind: int) -> None:
        """The fence: the position moves only from where we have read."""
        moved = self._connection.execute(
            "UPDATE tally_positions SET next_offset = %s"
            " WHERE topic = %s AND partition = %s AND next_offset = %s",
            (behind, self._topic, partition, self._positions[partition]),
        )
        if moved.rowcount != 1:
            raise Fenced(f"{self._topic}[{partition}] was counted by another one")

    def _add(self, verdicts: Mapping[str, int]) -> None:
        # In one order: two of us never wait for each other in a circle.
        for verdict, records in sorted(verdicts.items()):
            self._connection.execute(
                "INSERT INTO tally VALUES (%s, %s) ON CONFLICT (verdict)"
                " DO UPDATE SET records = tally.records + excluded.records",
                (verdict, records),
            )


def follow(settings: Settings, consumer: Consumer, tally: Tally) -> None:
    """Until SIGTERM. What it raises ends the program: a new start is always right."""
    stopping: list[int] = []
    for polite in (signal.SIGTERM, signal.SIGINT):
        signal.signal(polite, lambda number, _: stopping.append(number))
    consumer.subscribe([settings.topic], on_assign=tally.assign, on_revoke=tally.revoke)
    while not stopping:
        tally.read(consumer)
        tally.count()


def main() -> None:
    """One member of the group `tally`."""
    logs.configure("tally", "0", "info")
    settings, trouble = load(Settings), kafka.Trouble()
    ours: dict[str, Any] = {
        "group.id": "tally",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "session.timeout.ms": 6_000,  # then a killed one's partitions move
        "auto.offset.reset": "error",  # what retention took is not passed over
    }
    consumer = kafka.client(Consumer, {**settings.client, **ours}, trouble)
    try:
        follow(settings, consumer, Tally(settings))
    except psycopg.Error as error:
        raise from_postgres(error, "counting") from error
    except KafkaException as error:
        raise kafka.from_kafka(error, f"reading{trouble}") from error
    finally:
        consumer.close()


if __name__ == "__main__":
    cli.run(main)
