"""What one session is made of: its parts, made in one place and closed in turn."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from confluent_kafka.admin import AdminClient

from consumers.bank.applier import Applier
from consumers.bank.assignment import Assignment
from consumers.bank.caution import Caution
from consumers.bank.codec import TransferCodec
from consumers.bank.database import connect
from consumers.bank.log_topic import LogTopic
from consumers.bank.observe import Observer
from consumers.bank.publisher import Publisher
from consumers.bank.reading import Reading
from consumers.bank.restore import Restore
from consumers.bank.results import ResultsCodec
from consumers.bank.settings import BankSettings
from once import kafka
from once.producer import in_turn
from once.registry import Registry
from once.settings import secret_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a session, connected."""

    codec: TransferCodec
    results: ResultsCodec
    log_topic: LogTopic
    reading: Reading
    applier: Applier
    caution: Caution
    assignment: Assignment
    restore: Restore
    publisher: Publisher


def connect_all(
    settings: BankSettings, observer: Observer, resources: ExitStack
) -> Parts:
    """Connect to everything; `resources` closes it again, the last one first.

    Raises Retriable while a dependency is away, Refused, Defect.
    """
    closing, beat = resources.callback, observer.progress.beat
    registry = Registry(settings.registry_url, settings.registry_ca)
    closing(registry.close)
    # First what says in one sentence that a schema, then that a topic is missing.
    codec = TransferCodec(
        registry, f"{settings.topic}-value", beat, settings.unknown_schema_seconds
    )
    results = ResultsCodec(registry, f"{settings.results_topic}-value")
    admin = kafka.client(AdminClient, settings.client, observer.trouble)
    log_topic = LogTopic(admin, settings, observer)
    producers = in_turn(
        settings.client,
        f"bank-{settings.instance}.",
        within=observer.within,
        trouble=observer.trouble,
    )
    for producer in producers:
        closing(producer.close)
        producer.recycle()  # the first start: it aborts what our predecessor left open
        beat()
    applier = Applier(
        lambda: _connect(settings, observer),
        settings.topic,
        wait=lambda seconds, why: reading.wait(
            seconds, why
        ),  # made below: closed first
        beat=beat,
        metrics=observer.metrics,
        reached=observer.reached,
    )
    closing(applier.close)
    reading = Reading(settings, observer)
    closing(reading.close)
    publisher = Publisher(
        producers,
        settings.results_topic,
        membership=lambda: reading.membership,
        beat=beat,
    )
    closing(publisher.close)
    return Parts(
        codec=codec,
        results=results,
        log_topic=log_topic,
        reading=reading,
        applier=applier,
        caution=Caution(observer.care, applier, settings.topic),
        assignment=Assignment(
            consumer=reading.consumer,
            kafka=settings.client,
            group=settings.group,
            topic=settings.topic,
            topic_id=log_topic.topic_id,
            restoring=settings.restore,
        ),
        restore=Restore(settings, registry, beat),
        publisher=publisher,
    )


def _connect(settings: BankSettings, observer: Observer) -> psycopg.Connection:
    conninfo = secret_now(settings, "conninfo")
    return connect(conninfo, f"bank {settings.instance}", observer.warn)
