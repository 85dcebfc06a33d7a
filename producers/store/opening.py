"""Opens an emitter, however long Kafka and the registry take to answer."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from once import logs
from once.backoff import pauses
from once.errors import Defect, Retriable
from once.producer import TransactionalProducer
from once.registry import Registry
from once.telemetry import Telemetry
from producers.store.emitter import Emitter
from producers.store.receipts import ReceiptsCodec
from producers.store.settings import StoreSettings

log = logs.get(__name__)


def kafka_settings(settings: StoreSettings) -> dict[str, str]:
    """librdkafka's settings."""
    return {"bootstrap.servers": settings.bootstrap_servers, **settings.kafka}


def open_emitter(
    settings: StoreSettings,
    producer: TransactionalProducer,
    registry: Registry,
    telemetry: Telemetry,
    pause: Callable[[float], None],
    receipts_topic: str | None = None,
) -> Emitter:
    """An emitter, with receipts if there is a topic for them. Raises Defect.

    `pause` is called between attempts, here and in the emitter; it may raise.
    """
    for seconds in pauses():
        try:
            return Emitter(
                producer,
                settings.topic,
                partition_count(kafka_settings(settings), settings.topic),
                registry,
                telemetry,
                pause,
                ReceiptsCodec(registry, receipts_topic) if receipts_topic else None,
            )
        except Retriable as error:
            log.warning("waiting", error=str(error))
            pause(seconds)
    raise AssertionError("pauses never end")


def partition_count(kafka: dict[str, str], topic: str) -> int:
    """Partitions of a topic. Raises Retriable (brokers away), Defect (no topic)."""
    try:
        found = AdminClient({**kafka, "log_level": 2}).list_topics(topic, timeout=10)
    except Exception as error:
        raise Retriable(f"brokers {kafka['bootstrap.servers']}: {error}") from error
    partitions = len(found.topics[topic].partitions)
    if not partitions:
        raise Defect(f"topic {topic} does not exist; create it: make set-up")
    return partitions
