"""Puts a record back from quarantine, exactly once.

    1  write down what is about to be sent, and where the log ends    (Postgres)
    2  send it, in a Kafka transaction of an id of its own            (Kafka)
    3  find it in the log behind that end, and write down where       (Postgres)

Whoever dies in between leaves a row without an offset. The next one starts the same
transactional id, which settles what the first one left open, and looks for the record
before it sends anything.

The record keeps its transfer_id, so the ledger would bear a second one, too, and its
emitter, so its Store learns the verdict. It gets the key that it must have, our own
schema, and the sequence number 0, which is no news to anybody who looks for gaps.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.bank.codec import CHANGE, Reason, TransferCodec
from consumers.bank.settings import KafkaAndRegistry
from once import kafka, resources
from once.asking import ask
from once.columns import ColumnWriter
from once.errors import Refused, Retriable
from once.headers import headers_of
from once.partitioner import partition_for
from once.postgres import from_postgres
from once.producer import TransactionalProducer
from once.registry import Registry, frame, load_schema

REDRIVE_OF = "once-redrive-of"  # topic/partition/offset of the record set aside
REDRIVE_TOKEN = "once-redrive-token"  # says which row of `redrives` it belongs to
SECONDS_MAX = 30.0


class _Attempt(NamedTuple):
    """Where a record is put back: the new one has `token`, and `offset` when found."""

    partition: int
    sent_after: int  # it is at this offset of the partition, or behind it
    token: UUID
    offset: int | None = None


class Redriver:
    """Puts records of one topic back. Raises OnceError."""

    def __init__(
        self, settings: KafkaAndRegistry, connection: psycopg.Connection
    ) -> None:
        self._topic = settings.topic
        self._connection = connection
        self._kafka = settings.client
        self._group = settings.group
        self._registry = Registry(settings.registry_url, settings.registry_ca)
        subject = f"{settings.topic}-value"
        schema = load_schema(resources.find("avro/transfer.avsc"))
        self._codec = TransferCodec(self._registry, subject)
        self._writer = ColumnWriter(
            schema, frame(self._registry.id_of(subject, schema))
        )

    def close(self) -> None:
        """Close the registry's client."""
        self._registry.close()

    def redrive(self, partition: int, offset: int) -> str:
        """A sentence about what was done. Raises Refused when nothing can be."""
        try:
            return self._redrive(partition, offset)
        except psycopg.Error as error:
            raise from_postgres(error, "redriving a record") from error
        except KafkaException as error:
            raise Retriable(f"while redriving a record: {error}") from error

    def _redrive(self, partition: int, offset: int) -> str:
        here = f"{self._topic}[{partition}]@{offset}"
        key, value, transfer_id = self._mended(partition, offset, here)
        begun = self._begun(partition, offset)
        if begun is not None and begun.offset is not None:
            return f"{here} was put back before, as [{begun.partition}]@{begun.offset}"
        reader = _Reader(self._kafka, self._group, self._topic)
        try:
            attempt = begun
            if attempt is None:
                target = partition_for(key, reader.partition_count())
                attempt = _Attempt(target, reader.end(target), uuid4())
                self._begin(partition, offset, transfer_id, attempt)
            target, sent_after, token, _ = attempt
            name = f"bank-redrive-{self._topic}-{partition}-{offset}"
            producer = TransactionalProducer(self._kafka, name)
            try:
                producer.recycle()
                found = reader.find(target, sent_after, token) if begun else None
                if found is None:
                    record = {"key": key, "value": value}
                    headers = [
                        (REDRIVE_OF, f"{self._topic}/{partition}/{offset}".encode()),
                        (REDRIVE_TOKEN, str(token).encode()),
                    ]
                    producer.send(
                        self._topic, {target: [record]}, {target: {0: headers}}
                    )
                    found = reader.find(target, sent_after, token)
            finally:
                producer.close()
        finally:
            reader.close()
        if found is None:
            raise Retriable(f"{here} was sent and cannot be seen yet; redrive it again")
        self._end(partition, offset, found)
        return f"{here} is put back as [{target}]@{found}, transfer {transfer_id}"

    def _mended(
        self, partition: int, offset: int, here: str
    ) -> tuple[bytes, bytes, UUID]:
        """Key, value and transfer_id of the record as it should have been."""
        row = self._connection.execute(
            "SELECT record_key, record_value FROM quarantine"
            " WHERE topic = %s AND partition = %s AND record_offset = %s",
            (self._topic, partition, offset),
        ).fetchone()
        self._connection.commit()
        if row is None:
            raise Refused(f"nothing of {here} is set aside")
        columns, faults = self._codec.decode([row[1]], [row[0]])
        fault = faults.get(0)
        if fault is not None and fault.reason != Reason.KEY_MISMATCH:
            raise Refused(
                f"{here} is still no transfer: {fault.reason}: {fault.detail}; mend "
                "the cause first, or have its sender send it again under a new id"
            )
        if CHANGE in columns:
            raise Refused(
                f"{here} changes account {columns['debit_account'][0]}, and payments "
                "alone are put back: ask for the change again, under a new change_id"
            )
        columns["emitter_sequence"] = [0]
        (value,) = self._writer.write(columns)
        (account,) = columns["debit_account"]
        return b"%d" % account, value, UUID(bytes=columns["transfer_id"][0])

    def _begun(self, partition: int, offset: int) -> _Attempt | None:
        row = self._connection.execute(
            "SELECT new_partition, sent_after, token, new_offset FROM redrives"
            " WHERE topic = %s AND partition = %s AND record_offset = %s",
            (self._topic, partition, offset),
        ).fetchone()
        self._connection.commit()
        return None if row is None else _Attempt(*row)

    def _begin(
        self, partition: int, offset: int, transfer_id: UUID, attempt: _Attempt
    ) -> None:
        self._connection.execute(
            "INSERT INTO redrives (topic, partition, record_offset, transfer_id, token,"
            " new_partition, sent_after, redriven_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self._topic,
                partition,
                offset,
                transfer_id,
                attempt.token,
                attempt.partition,
                attempt.sent_after,
                getpass.getuser(),
            ),
        )
        self._connection.commit()

    def _end(self, partition: int, offset: int, found: int) -> None:
        self._connection.execute(
            "UPDATE redrives SET new_offset = %s"
            " WHERE topic = %s AND partition = %s AND record_offset = %s",
            (found, self._topic, partition, offset),
        )
        self._connection.commit()


class _Reader:
    """Looks for one record behind an offset. Raises KafkaException, Retriable."""

    def __init__(self, config: Mapping[str, Any], group: str, topic: str) -> None:
        self._topic = topic
        self._consumer = kafka.onlooker(config, group)

    def close(self) -> None:
        self._consumer.close()

    def partition_count(self) -> int:
        there = ask(
            lambda: self._consumer.list_topics(self._topic, SECONDS_MAX),
            f"asking for the partitions of {self._topic}",
            SECONDS_MAX,
        )
        return len(there.topics[self._topic].partitions)

    def end(self, partition: int) -> int:
        """An offset that is not beyond the end of what may still be decided."""
        asked = TopicPartition(self._topic, partition)
        _, end = ask(
            lambda: self._consumer.get_watermark_offsets(asked, SECONDS_MAX),
            f"asking where {self._topic}[{partition}] ends",
            SECONDS_MAX,
        )
        return end

    def find(self, partition: int, after: int, token: UUID) -> int | None:
        """Offset of the committed record with this token, or None."""
        self._consumer.assign([TopicPartition(self._topic, partition, after)])
        until = time.monotonic() + SECONDS_MAX
        wanted = (REDRIVE_TOKEN, str(token).encode())
        try:
            while time.monotonic() < until:
                for message in self._consumer.consume(500, 0.5):
                    error = message.error()
                    if error is None:
                        if wanted in headers_of(message):
                            return int(message.offset() or 0)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return None
                    elif not kafka.passes(error):
                        raise KafkaException(error)
            raise Retriable(f"{self._topic}[{partition}] could not be read to its end")
        finally:
            self._consumer.unassign()
