"""The index is made from the log, whatever becomes of its files and of the topics."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from confluent_kafka import Consumer, Producer

from local.platform import Platform
from local.processes.waiting import wait_until
from producers.store.client import StoreClient
from producers.store.states import State
from producers.store.transfers import Transfer
from tests.fix_platform import PARTITIONS, transfer
from tests.integration.api import client_of, payment, put, serving
from tests.integration.kafka_admin import create_topic, delete_topics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SECONDS = 60.0


def posted(client: StoreClient, count: int) -> list[Transfer]:
    """So many transfers, each posted."""
    sent = [transfer(payer=1 + n, amount=1) for n in range(count)]
    for line in sent:
        assert client.send(line, wait_seconds=20).state is State.POSTED
    return sent


def wait_posted(client: StoreClient, sent: list[Transfer]) -> None:
    for line in sent:
        wait_until(
            lambda line=line: (  # type: ignore[misc]
                client.status(line.transfer_id).state is State.POSTED
            ),
            what=f"{line.transfer_id} to be posted",
            timeout_seconds=SECONDS,
        )


def emitter_key(platform: Platform) -> bytes:
    """The key of a record of the receipts topic."""
    servers = platform.stack.endpoints.bootstrap_servers
    settings = {"bootstrap.servers": servers, "group.id": "test"}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([platform.receipts_topic])
        (message,) = consumer.consume(1, SECONDS)
        key = message.key()
        assert message.error() is None and key is not None
        return key
    finally:
        consumer.close()


def test_odd_records_under_a_stores_key_stop_no_replica_now_or_later(
    platform: Platform,
) -> None:
    with platform.bank(), serving(platform, "a") as (store, a), client_of(a) as client:
        before = posted(client, 1)
        servers = platform.stack.endpoints.bootstrap_servers
        producer = Producer({"bootstrap.servers": servers})
        key = emitter_key(platform)
        for topic in (platform.receipts_topic, platform.results_topic):
            for value in (None, b"", b"\x00", b"hello", bytes(40), b"\xff" * 40):
                for partition in range(PARTITIONS):
                    producer.produce(topic, value, key, partition)
        assert producer.flush(SECONDS) == 0
        after = posted(client, 3)
        assert '"skipped"' in store.text or "skipped" in store.text
        with serving(platform, "b") as (_, b), client_of(b) as another:
            wait_posted(another, before + after)


def test_a_new_replica_is_ready_at_once_and_never_denies_what_it_has_not_read(
    platform: Platform,
) -> None:
    with platform.bank():
        with serving(platform, "a") as (_, a), client_of(a) as client:
            before = posted(client, 5)
        with serving(platform, "b") as (store, b), client_of(b) as another:
            said: list[tuple[int, str]] = []

            def known() -> bool:
                path = f"{b}/v1/transfers/{before[0].transfer_id}"
                answer = httpx.get(path)
                said.append((answer.status_code, answer.json().get("code", "")))
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                return answer.is_success

            wait_until(known, what="it to know", timeout_seconds=SECONDS)
            assert set(said[:-1]) <= {(503, "catching-up")}
            wait_posted(another, before)
            wait_until(
                lambda: "older hours are read" in store.text,
                what="the filler to say so",
                timeout_seconds=SECONDS,
            )
            unknown = httpx.get(f"{b}/v1/transfers/{UUID(int=7)}")
            assert unknown.json()["code"] == "unknown-transfer"


def zeros(file: Path) -> None:
    with file.open("r+b") as opened:  # it may be in use: it keeps its size
        opened.write(bytes(file.stat().st_size))


def random_pages(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(random.Random(7).randbytes(2 * 4096))


def test_a_damaged_index_is_made_again_at_start_and_while_it_runs(
    platform: Platform, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"index": tmp_path / "index"}
    with platform.bank():
        with serving(platform, **kept) as (store, url), client_of(url) as client:
            sent = posted(client, 5)
            assert store.terminate() == 0
        for damage in (zeros, random_pages):
            for file in kept["index"].glob("part-*.db"):
                damage(file)
            with serving(platform, **kept) as (store, url), client_of(url) as client:
                wait_posted(client, sent)
                assert "are damaged, and are made again" in store.text or (
                    "a part of the index is removed" in store.text
                )
                assert store.terminate() == 0
        with serving(platform, **kept) as (store, url), client_of(url) as client:
            wait_posted(client, sent)
            for file in kept["index"].glob("part-*.db"):
                zeros(file)
            for _ in range(20):
                assert put(url, payment(amount=1)).status_code in (200, 202)
            sent += posted(client, 3)
            wait_posted(client, sent)
            assert store.process.poll() is None


def make_results_anew(platform: Platform) -> None:
    delete_topics(platform, platform.results_topic)
    create_topic(platform, platform.results_topic, PARTITIONS)


def test_a_results_topic_that_is_made_anew_is_noticed_and_read_from_its_beginning(
    platform: Platform,
) -> None:
    with serving(platform) as (store, url), client_of(url) as client:
        with platform.bank() as bank:
            posted(client, 3)
            assert bank.terminate() == 0
        make_results_anew(platform)
        sent = [transfer(payer=n, amount=1) for n in range(1, 31)]
        for line in sent:
            assert client.send(line).state is State.COMMITTED
        with platform.bank():
            wait_posted(client, sent)
        wait_until(
            lambda: "new partitions are read from their beginning" in store.text,
            what="the Store to notice",
            timeout_seconds=SECONDS,
        )
        assert store.process.poll() is None


def test_a_kept_index_claims_nothing_of_a_topic_that_was_made_anew_meanwhile(
    platform: Platform, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"index": tmp_path / "index"}
    with platform.bank() as bank:
        with serving(platform, "a", **kept) as (store, url), client_of(url) as client:
            before = posted(client, 3)
            assert store.terminate() == 0
        assert bank.terminate() == 0
    make_results_anew(platform)
    with platform.bank(), serving(platform, "b") as (_, url), client_of(url) as client:
        sent = posted(client, 30)
    with serving(platform, "a", **kept) as (_, url), client_of(url) as client:
        wait_posted(client, sent + before)
