"""Pay once: send a transfer to Once, and find out what became of it.

    python pay.py order-4711.json 1 100001 1999

Account 1 pays 19.99 EUR to account 100001. The first run makes the transfer's id and
keeps the whole payment in order-4711.json. Whatever happens then, run it again: it
sends the same id, so the money moves once at most.

Needs confluent-kafka and fastavro, BOOTSTRAP_SERVERS and REGISTRY_URL (`make env`).
Exit status: 0 posted, 1 nothing was paid, 75 not known yet: run it again.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import urllib.request
import uuid
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

TOPIC = os.environ.get("TOPIC", "transfers")
RESULTS_TOPIC = os.environ.get("RESULTS_TOPIC", "transfer-results")
SENDS_MAX = 3
ACKNOWLEDGED_SECONDS_MAX = 30
RESULT_SECONDS_MAX = float(os.environ.get("RESULT_SECONDS_MAX", "60"))
POSTED, NOT_PAID, NOT_KNOWN = 0, 1, 75


class Place(NamedTuple):
    """Where Kafka put the record. Exactly one result names this place."""

    partition: int
    offset: int


def kept(path: Path, arguments: list[str]) -> dict[str, Any]:
    """The payment in the file; made and written there before anything is sent."""
    if path.exists():
        payment: dict[str, Any] = json.loads(path.read_text())
        return payment
    debit, credit, amount = map(int, arguments)
    new_id = getattr(uuid, "uuid7", uuid.uuid4)  # version 7 is best; Python 3.14 has it
    payment = {
        "transfer_id": str(new_id()),
        "debit_account": debit,
        "credit_account": credit,
        "amount": amount,
        "currency": "EUR",
        "memo": path.stem,
        "created_at_ms": time.time_ns() // 1_000_000,
    }
    draft = path.with_name(path.name + ".draft")
    with draft.open("w") as file:
        json.dump(payment, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return payment


def kafka(**settings: Any) -> dict[str, Any]:
    """Settings of a client; a cluster's TLS comes from the file KAFKA_PROPERTIES."""
    file = os.environ.get("KAFKA_PROPERTIES")
    lines = Path(file).read_text().splitlines() if file else []
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    servers = os.environ["BOOTSTRAP_SERVERS"]
    return {"bootstrap.servers": servers, **settings, **given}


def registry(path: str) -> Any:
    """What the schema registry answers."""
    url = os.environ["REGISTRY_URL"] + path
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def encoded(payment: dict[str, Any]) -> bytes:
    """The value of a record: a zero byte, the schema's id, the Avro body."""
    latest = registry(f"/subjects/{TOPIC}-value/versions/latest")
    fields = {
        **payment,
        "transfer_id": uuid.UUID(payment["transfer_id"]).bytes,
        "currency": payment["currency"].encode(),
    }
    body = io.BytesIO()
    schema = fastavro.parse_schema(json.loads(latest["schema"]))
    fastavro.schemaless_writer(body, schema, fields)
    return b"\0" + int(latest["id"]).to_bytes(4, "big") + body.getvalue()


def send(key: bytes, value: bytes) -> Place:
    """Send one record and wait until Kafka has it. Raises KafkaException.

    A service makes one producer and keeps it, as long as it is well.
    """
    settings = kafka(
        **{
            "enable.idempotence": True,  # and with it acks=all
            "partitioner": "murmur2_random",  # as Java; the default is another
            "compression.type": "lz4",
            "delivery.timeout.ms": ACKNOWLEDGED_SECONDS_MAX * 1000,
        }
    )
    producer = Producer(settings)
    told: list[Any] = []
    producer.produce(TOPIC, value, key, on_delivery=lambda *news: told.append(news))
    producer.flush()
    error, record = told[0]
    if error is None and record.offset() is None:  # a repeat that the broker knew
        error = KafkaError(KafkaError._NO_OFFSET)
    if error is not None:
        raise KafkaException(error)
    return Place(record.partition(), record.offset())


def acknowledged(key: bytes, value: bytes) -> Place:
    """Send until it is acknowledged, always the same bytes with the same id."""
    for left in reversed(range(SENDS_MAX)):
        try:
            return send(key, value)
        except KafkaException as error:
            if not left:
                raise
            print(f"not acknowledged, sending the same id again: {error}")
    raise AssertionError("it was sent, or raised")


class Results:
    """What is published from now on. Made before the send, so none is missed.

    A service has one such reader, in a group that commits its offsets.
    """

    def __init__(self) -> None:
        settings = {
            "group.id": "foreign-producer",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(kafka(**settings))
        topic = self._consumer.list_topics(RESULTS_TOPIC, timeout=10)
        places = [
            TopicPartition(RESULTS_TOPIC, each)
            for each in topic.topics[RESULTS_TOPIC].partitions
        ]
        for place in places:
            _, place.offset = self._consumer.get_watermark_offsets(place, timeout=10)
        self._consumer.assign(places)

    def of(self, place: Place) -> dict[str, Any] | None:
        """The one result of a record, or None when it does not come in time."""
        deadline = time.monotonic() + RESULT_SECONDS_MAX
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            if message.key() is not None:
                continue  # of a Store's transfers; of all others the key is null
            found = decoded(message.value() or b"")
            for result in found["results"]:
                if Place(found["partition"], result["offset"]) == place:
                    return dict(result)
        return None


def decoded(value: bytes) -> Any:
    """A record of the results topic, read with the schema that it was written with."""
    body = io.BytesIO(value[5:])
    writer = schema_of(int.from_bytes(value[1:5], "big"))
    return fastavro.schemaless_reader(body, writer, None)


@cache
def schema_of(schema_id: int) -> Any:
    """An id means one schema for ever."""
    return fastavro.parse_schema(
        json.loads(registry(f"/schemas/ids/{schema_id}")["schema"])
    )


def settled(result: dict[str, Any]) -> str:
    """What became of the payment: of a repeat, what became of it the first time."""
    verdict = str(result["verdict"])
    if verdict == "EXISTS":
        verdict = str(result.get("first_verdict", "UNKNOWN"))
        print(f"EXISTS: this payment was sent before, and then it was {verdict}")
    else:
        print(verdict)
    return verdict


def pay(path: Path, arguments: list[str]) -> int:
    """Make one payment, or find out what became of it."""
    payment = kept(path, arguments)
    print(f"transfer_id {payment['transfer_id']}, kept in {path}")
    results = Results()
    # The key is the account in decimal digits: not typed by hand, but from the field.
    place = acknowledged(b"%d" % payment["debit_account"], encoded(payment))
    print(f"acknowledged: {TOPIC}[{place.partition}]@{place.offset}")
    result = results.of(place)
    verdict = settled(result) if result else "UNKNOWN"
    if verdict == "UNKNOWN":  # late, or a verdict that is newer than this program
        print("not known yet: run it again")
        return NOT_KNOWN
    return POSTED if verdict == "POSTED" else NOT_PAID


if __name__ == "__main__":
    try:
        sys.exit(pay(Path(sys.argv[1]), sys.argv[2:]))
    except (KafkaException, OSError) as error:
        print(f"not known yet: run it again: {error}")
        sys.exit(NOT_KNOWN)
