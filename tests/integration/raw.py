"""Raw records: what a foreign, broken or hostile producer can put into the topic."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

import fastavro
from confluent_kafka import Message, Producer

from local.platform import Platform
from once import resources
from once.columns import ColumnWriter
from once.partitioner import partition_for
from once.registry import Registry, frame, load_schema
from tests.fix_platform import PARTITIONS

SECONDS = 30.0
CREATED_AT_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Raw:
    """One record as it goes to Kafka."""

    key: bytes | None
    value: bytes | None


def partition_of(account: int) -> int:
    """Where all debits of an account go."""
    return partition_for(b"%d" % account, PARTITIONS)


def fields(**changed: Any) -> dict[str, Any]:
    """The fields of a foreign transfer that would be posted, unless `changed`."""
    return {
        "transfer_id": uuid4().bytes,
        "debit_account": 1,
        "credit_account": 101,
        "amount": 100,
        "currency": b"EUR",
        "memo": "",
        "created_at_ms": CREATED_AT_MS,
        "emitter": None,
        "emitter_sequence": 0,
        **changed,
    }


def id_of(raw: Raw) -> UUID:
    """The transfer_id in a record that can be read."""
    assert raw.value is not None
    return UUID(bytes=raw.value[5:21])


class Encoder:
    """Writes framed transfers, and keeps to the contract only when asked to."""

    def __init__(self, platform: Platform) -> None:
        registry = Registry(platform.stack.endpoints.registry_url)
        schema = load_schema(resources.find("avro/transfer.avsc"))
        self.frame = frame(registry.id_of(f"{platform.topic}-value", schema))
        change = load_schema(resources.find("avro/account-change.avsc"))
        subject = f"{platform.topic}-once.payments.AccountChange"
        self.change_frame = frame(registry.id_of(subject, change))
        self._change_schema = fastavro.parse_schema(change)
        registry.close()
        self._writer = ColumnWriter(schema, self.frame)

    def value(self, **changed: Any) -> bytes:
        """A framed transfer; `changed` fields need not make sense."""
        columns = {name: [value] for name, value in fields(**changed).items()}
        return self._writer.write(columns)[0]

    def transfer(self, **changed: Any) -> Raw:
        """A framed transfer with the key that it must have."""
        payer = changed.get("debit_account", 1)
        return Raw(b"%d" % payer, self.value(**changed))

    def change(self, **changed: Any) -> Raw:
        """A framed change of an account, with the key that it must have."""
        there = {
            "change_id": uuid4().bytes,
            "account": 1,
            "must_be_new": False,
            "currency": None,
            "credit_limit": None,
            "status": None,
            "reason": "",
            "changed_by": "a stranger",
            "created_at_ms": CREATED_AT_MS,
            "emitter": None,
            "emitter_sequence": 0,
            **changed,
        }
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._change_schema, there)
        return Raw(b"%d" % there["account"], self.change_frame + out.getvalue())


class Foreign(Encoder):
    """A producer that is none of our Stores, and sends whatever it likes."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._topic = platform.topic
        self._producer = Producer(
            {
                "bootstrap.servers": platform.stack.endpoints.bootstrap_servers,
                "transactional.id": f"foreign-{uuid4()}",
                "log_level": 3,
            }
        )
        self._producer.init_transactions(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def send(
        self,
        *records: Raw,
        partition: int | None = None,
        commit: bool = True,
        topic: str | None = None,
    ) -> list[int]:
        """Send all in one Kafka transaction: they become visible at once.

        The offsets; each record goes to `partition` or to the one of its key.
        """
        with self._transaction(records, partition, topic or self._topic) as sent:
            pass
        if commit:
            self._producer.commit_transaction(SECONDS)
        else:
            self._producer.abort_transaction(SECONDS)
        return _offsets(records, sent)

    @contextmanager
    def holding(self, *records: Raw, partition: int) -> Iterator[None]:
        """While the block runs, their transaction is open; then it is aborted."""
        with self._transaction(records, partition, self._topic):
            yield
        self._producer.abort_transaction(SECONDS)

    @contextmanager
    def _transaction(
        self, records: Sequence[Raw], partition: int | None, topic: str
    ) -> Iterator[list[Message]]:
        """A transaction that is open, and has these records, once they are sent."""
        sent: list[Message] = []
        self._producer.begin_transaction()
        for raw in records:
            place = partition
            if place is None:
                assert raw.key is not None, "without a key, name the partition"
                place = partition_for(raw.key, PARTITIONS)
            self._producer.produce(
                topic,
                raw.value,
                raw.key,
                place,
                on_delivery=lambda error, message: sent.append(message),
            )
        assert self._producer.flush(SECONDS) == 0, "records are still in the queue"
        yield sent


def _offsets(records: Sequence[Raw], sent: Sequence[Message]) -> list[int]:
    """Offsets in the order of `records`: deliveries come in order per partition."""
    failed = [message.error() for message in sent if message.error() is not None]
    assert not failed, failed
    waiting: dict[tuple[bytes | None, bytes | None], list[int]] = {}
    for message in sent:
        found = waiting.setdefault((message.key(), message.value()), [])
        found.append(message.offset() or 0)
    return [waiting[raw.key, raw.value].pop(0) for raw in records]
