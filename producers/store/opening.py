"""Opens what both commands need: health, and emitters however long Kafka takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from once.backoff import retry
from once.errors import Defect
from once.health import Check, HealthServer, Progress
from once.kafka import Trouble
from once.producer import TransactionalProducer
from once.registry import Registry
from once.telemetry import Telemetry
from producers.store.emitter import Emitter
from producers.store.places import Places
from producers.store.receipts import ReceiptsCodec
from producers.store.settings import StoreSettings
from producers.store.topics import Topics


def serve_health(
    settings: StoreSettings,
    port: int,
    *,
    progress: Progress,
    checks: Mapping[str, Check],
    scrape: Callable[[], bytes],
) -> HealthServer:
    """The health server. Raises Defect when its port cannot be had."""
    try:
        return HealthServer(progress, checks, scrape, settings.health_host, port)
    except OSError as error:
        raise Defect(f"{error.strerror} (STORE_HEALTH_PORT)") from error


def open_emitters(
    settings: StoreSettings,
    producers: Sequence[TransactionalProducer],
    *,
    registry: Registry,
    telemetry: Telemetry,
    pause: Callable[[float], None],
    trouble: Trouble,
    receipts_topic: str | None = None,
) -> list[Emitter]:
    """An emitter for each producer, with receipts if there is a topic for them.

    They share what they remember of accounts and of rivals, so one thread drives them
    all. `pause` is called between attempts, here and in the emitters; it may raise.
    Raises Defect.
    """
    topics = Topics(settings.client, trouble)
    fences: list[float] = []

    def attempt() -> list[Emitter]:
        places = Places(topics.describe(settings.topic).partition_count)
        return [
            Emitter(
                producer,
                settings.topic,
                places=places,
                registry=registry,
                telemetry=telemetry,
                pause=pause,
                receipts=(
                    ReceiptsCodec(registry, receipts_topic) if receipts_topic else None
                ),
                fences=fences,
            )
            for producer in producers
        ]

    return retry(attempt, lambda seconds, why: pause(seconds))
