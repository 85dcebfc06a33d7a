"""What running programs tell: one trace per transfer, counts, life and readiness."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from once import names, resources
from once.registry import Registry, load_schema
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.stream import Stream, open_stream
from producers.store.transfers import Chunk, Transfer
from tests.fix_platform import (
    PARTITIONS,
    emit,
    health_url,
    store_settings,
    transfer,
    verdict,
)
from tests.integration.collector import Seen, collecting
from tests.integration.kafka_admin import create_topic, delete_topics
from tests.integration.published import messages
from tests.integration.raw import Foreign, Raw

pytestmark = pytest.mark.stack

NOWHERE = "http://127.0.0.1:9"  # nobody listens on the port of "discard"


@contextmanager
def a_store(platform: Platform, **settings: Any) -> Iterator[Stream]:
    with open_stream(store_settings(platform).model_copy(update=settings)) as store:
        yield store


def send(stream: Stream, *lines: Transfer) -> None:
    stream.emit([Chunk.of(lines)], AcknowledgementLog(None))


def ask(program: Program, path: str) -> httpx.Response:
    return httpx.get(f"{health_url(program.text)}{path}")


def metrics(page: str) -> dict[str, float]:
    """Samples as `name{label="value"}`, with the labels that are ours."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(
                f'{name}="{sample.labels[name]}"'
                for name in ("verdict", "reason", "stage", "outcome", "system")
                if name in sample.labels
            )
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            found[key] = found.get(key, 0.0) + sample.value
    return found


def test_one_trace_leads_from_the_store_through_the_bank_to_the_result(
    platform: Platform,
) -> None:
    lines = [transfer(payer=1), transfer(payer=2), transfer(payer=3, payee=999)]
    with collecting() as collector:
        with (
            platform.bank(otlp_endpoint=collector.url, session_timeout_ms=2000) as bank,
            a_store(platform, otlp_endpoint=collector.url, trace_ratio=1.0) as store,
        ):
            send(store, *lines)
            platform.wait_applied(3)
            assert bank.terminate() == 0  # what it has not sent yet, it sends now
        traces = collector.traces()
    assert len(traces) == 3
    said = [chain(spans, platform) for spans in traces.values()]
    assert sorted(said) == ["DECLINED_UNKNOWN_ACCOUNT", "POSTED", "POSTED"]


def chain(spans: list[Seen], platform: Platform) -> str:
    """The verdict on one transfer's trace, whose spans must follow from each other."""
    by_parent = {span.parent: span for span in spans}
    sent = by_parent[b""]
    applied = by_parent[sent.span]
    published = by_parent[applied.span]
    assert len(spans) == 3, spans
    assert [(span.service, span.name) for span in (sent, applied, published)] == [
        ("store", f"send {platform.topic}"),
        ("bank", f"process {platform.topic}"),
        ("bank", f"send {platform.results_topic}"),
    ]
    assert applied.attributes[names.MESSAGING_GROUP] == platform.group
    assert applied.nanoseconds > 200_000, "the COMMIT, which a standby has, is in it"
    place = names.MESSAGING_PARTITION
    assert sent.attributes[place] == applied.attributes[place]
    return applied.attributes[names.SPAN_VERDICT]


def test_a_record_that_is_not_sampled_carries_and_costs_nothing(
    platform: Platform,
) -> None:
    with collecting() as collector:
        with (
            platform.bank(otlp_endpoint=collector.url, session_timeout_ms=2000) as bank,
            a_store(platform, otlp_endpoint=collector.url, trace_ratio=0.0) as store,
        ):
            send(store, transfer())
            platform.wait_applied(1)
            assert bank.terminate() == 0
        assert collector.spans == []
    (record,) = messages(platform, platform.topic)
    assert record.headers() is None


def test_a_collector_that_is_away_holds_nothing_up(platform: Platform) -> None:
    line = transfer()
    with (
        platform.bank(otlp_endpoint=NOWHERE, session_timeout_ms=2000) as bank,
        a_store(platform, otlp_endpoint=NOWHERE, trace_ratio=1.0) as store,
    ):
        send(store, line)
        platform.wait_applied(1)
        assert bank.terminate(timeout_seconds=20) == 0
    assert verdict(platform, line.transfer_id) == "POSTED"


def test_the_banks_metrics_count_what_it_did(platform: Platform) -> None:
    good = [transfer(payer) for payer in range(1, 6)]
    with Foreign(platform) as foreign:
        foreign.send(Raw(b"1", b"garbage"), partition=0)
    emit(platform, *good, good[0], transfer(payee=999))
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(8)
        published = 'once_stage_duration_seconds_count{stage="publish"}'
        wait_until(
            lambda: metrics(ask(bank, "/metrics").text).get(published, 0) > 0,
            what="the publishing to be measured",
            timeout_seconds=20,
        )
        found = metrics(ask(bank, "/metrics").text)
    expected = {
        "messaging_client_consumed_messages_total": 8,
        'once_results_total{verdict="POSTED"}': 5,
        'once_results_total{verdict="EXISTS"}': 1,
        'once_results_total{verdict="DECLINED_UNKNOWN_ACCOUNT"}': 1,
        'once_results_total{verdict="QUARANTINED"}': 1,
        'once_quarantined_total{reason="NOT_FRAMED"}': 1,
        "once_fences_total": 0,
        "once_emitter_gaps_total": 0,
        'once_indeterminate_total{system="kafka"}': 0,
        'once_indeterminate_total{system="postgresql"}': 0,
        "once_lag_records": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    for stage in names.STAGES:
        name = f'once_stage_duration_seconds_count{{stage="{stage}"}}'
        assert found.get(name, 0) > 0, name
    assert found["once_end_to_end_duration_seconds_count"] > 0


def test_the_stores_metrics_count_what_it_did(platform: Platform) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with a_store(platform, health_port=port) as store:
        send(store, *[transfer(payer) for payer in range(1, 6)])
        found = metrics(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
    expected = {
        "messaging_client_sent_messages_total": 5,
        "once_records_acknowledged_total": 5,
        'once_transactions_total{outcome="committed"}': 1,
        'once_transactions_total{outcome="aborted"}': 0,
        "once_recycles_total": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert ready.status_code == 200, ready.text


def test_a_worker_is_alive_at_once_and_ready_with_its_partitions(
    platform: Platform,
) -> None:
    later = f"{platform.topic}-later"
    registry = Registry(platform.stack.endpoints.registry_url)
    schema = load_schema(resources.find("avro/transfer.avsc"))
    registry.register(f"{later}-value", schema)
    registry.close()
    with platform.bank(topic=later, session_timeout_ms=2000) as bank:
        wait_until(
            lambda: "session ended" in bank.text,
            what="the Bank to find that there is no topic yet",
            timeout_seconds=20,
        )
        assert ask(bank, "/livez").status_code == 200
        ready = ask(bank, "/readyz")
        assert ready.status_code == 503
        assert "no partition is assigned" in ready.json()["checks"]["partitions"]
        assert later in ready.json()["checks"]["dependencies"]

        create_topic(platform, later, PARTITIONS)
        wait_until(
            lambda: ask(bank, "/readyz").status_code == 200,
            what="the Bank to be ready",
            timeout_seconds=60,
        )
        assert ask(bank, "/livez").status_code == 200
    delete_topics(platform, later)
