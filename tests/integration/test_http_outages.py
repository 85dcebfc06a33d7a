"""Kafka, the registry, the Bank or the Store itself goes away: what clients are told,
and that nothing promised is lost or done twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from local.deadline import Patience
from local.platform import Platform
from local.stack import Stack
from producers.store.client import StoreClient
from producers.store.states import State
from producers.store.transfers import Transfer
from tests.fix_platform import balance, health_url, transfer
from tests.integration.api import client_of, is_ready, payment, put, serving
from tests.integration.test_outages import heal

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

BACK_AGAIN_SECONDS = 120.0
Settings = dict[str, Any]


@contextmanager
def without(stack: Stack, *names: str) -> Iterator[None]:
    """These processes of the stack are killed, and start again at the end."""
    for name in names:
        stack.processes[name].kill()
    try:
        yield
    finally:
        heal(stack)


def brokers(stack: Stack) -> list[str]:
    return [name for name in stack.processes if name.startswith("kafka-")]


def in_ledger(platform: Platform) -> list[UUID]:
    """The ids in the ledger, in the order of their records."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute(
            "SELECT transfer_id FROM transfers ORDER BY partition, record_offset"
        ).fetchall()
    return [row[0] for row in rows]


def test_without_a_journal_kafka_away_is_told_before_the_deadline(
    platform: Platform,
) -> None:
    settings: Settings = {"answer_seconds_max": 2.0, "queue_transfers_max": 10}
    with serving(platform, **settings) as (store, url):
        assert put(url, payment()).status_code == 202
        with without(platform.stack, *brokers(platform.stack)):
            for _ in range(2):
                began = time.monotonic()
                answer = put(url, payment())
                assert answer.status_code == 503
                assert answer.json()["code"] in ("kafka-unavailable", "outcome-unknown")
                assert int(answer.headers["Retry-After"]) > 0
                assert time.monotonic() - began < 3.0
            hasty = put(url, payment(), headers={"Request-Timeout": "1"})
            assert hasty.status_code == 503 and hasty.elapsed.total_seconds() < 1.0
            Patience().wait_until(
                lambda: not is_ready(store), what="not ready", timeout_s=60
            )
        sent = transfer(amount=1)
        with client_of(url, deadline_seconds=BACK_AGAIN_SECONDS) as client:
            assert client.send(sent).state is State.COMMITTED
        Patience().wait_until(lambda: is_ready(store), what="ready", timeout_s=60)
        with platform.bank():
            Patience().wait_until(
                lambda: sent.transfer_id in in_ledger(platform),
                what="the transfer in the ledger",
                timeout_s=BACK_AGAIN_SECONDS,
            )


def test_a_journal_keeps_accepting_and_drains_in_order_across_a_crash(
    platform: Platform, tmp_path: Path
) -> None:
    settings: Settings = {
        "journal": tmp_path / "journal.db",
        "journal_transfers_max": 60,
        "queued_after_ms": 50,  # each of them waits so long for Kafka
    }
    sent = [transfer(payer=1, amount=1) for _ in range(50)]
    with serving(platform, **settings) as (store, url):
        with without(platform.stack, *brokers(platform.stack)):
            with client_of(url) as client:
                promised = [client.send(line) for line in sent[:25]]
                promised += [client.send(line) for line in sent[:5]]  # repeats
            assert {status.state for status in promised} == {State.QUEUED}
            assert is_ready(store), "with a journal it can accept"
            store.kill()
            with platform.store_api(**settings) as again:  # Kafka is still away
                url = again.url()
                with client_of(url) as client:
                    assert client.status(sent[0].transfer_id).state is State.QUEUED
                    for line in sent[25:]:
                        assert client.send(line).state is State.QUEUED
                bodies = [payment(amount=1) for _ in range(11)]
                full = [put(url, body) for body in bodies]
                assert [answer.status_code for answer in full] == [202] * 10 + [503]
                assert full[-1].json()["code"] == "backlog-full"
                again.kill()
    with serving(platform, **settings) as (store, url), platform.bank():
        with client_of(url, deadline_seconds=BACK_AGAIN_SECONDS) as client:
            assert client.send(sent[-1], wait_seconds=30).state is State.POSTED
        platform.wait_applied(60, BACK_AGAIN_SECONDS)
        assert store.terminate() == 0
    assert in_ledger(platform)[:50] == [line.transfer_id for line in sent]
    assert len(in_ledger(platform)) == 60
    assert balance(platform, 101) == 60
    assert platform.audit().invariants_ok


def test_with_a_journal_it_starts_while_kafka_and_the_registry_are_away(
    platform: Platform, tmp_path: Path
) -> None:
    sent = transfer()
    journal = tmp_path / "journal.db"
    with without(platform.stack, *brokers(platform.stack), "registry"):
        store = platform.store_api(journal=journal)
        with client_of(store.url()) as client:
            assert client.send(sent).state is State.QUEUED
    with store, platform.bank(), client_of(store.url(), deadline_seconds=120) as client:
        last = [status.state for status in client.events(sent.transfer_id)][-1]
        assert last is State.POSTED
        assert store.terminate() == 0


def test_the_bank_away_changes_nothing_but_the_state(platform: Platform) -> None:
    sent = transfer()
    with serving(platform) as (_, url), client_of(url) as client:
        assert client.send(sent, wait_seconds=1.5).state is State.COMMITTED
        with ThreadPoolExecutor(1) as pool:
            states = pool.submit(
                lambda: [s.state for s in client.events(sent.transfer_id)]
            )
            with platform.bank():
                assert states.result(60) == [State.COMMITTED, State.POSTED]


def test_a_store_that_is_killed_again_and_again_loses_and_repeats_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    """Clients go on with the same ids; what they were told is what the audit finds."""
    acknowledged = tmp_path / "acknowledged"
    settings: Settings = {
        "journal": tmp_path / "journal.db",
        "index": tmp_path / "index",
        "ack_log": acknowledged,
    }
    stopped, sent = Event(), dict[UUID, Transfer]()
    store = platform.store_api(**settings)
    port = store.url().rpartition(":")[2]

    def pay() -> int:
        count = 0
        with StoreClient(f"http://127.0.0.1:{port}", deadline_seconds=60) as client:
            while not stopped.is_set():
                line = transfer(payer=1 + count % 100, amount=1)
                client.send(line)
                sent[line.transfer_id] = line
                count += 1
        return count

    with platform.bank(), ThreadPoolExecutor(4) as clients:
        counts = [clients.submit(pay) for _ in range(4)]
        for _ in range(4):
            due = len(sent) + 30
            Patience().wait_until(
                lambda due=due: len(sent) >= due,  # type: ignore[misc]
                what="payments to flow",
                timeout_s=60,
            )
            store.kill()
            store = platform.store_api(**{**settings, "port": port})
            store.url()
        stopped.set()
        assert sum(count.result(60) for count in counts) == len(sent)
        assert store.terminate() == 0
        Patience().wait_until(
            lambda: len(in_ledger(platform)) >= len(sent),
            what="all in the ledger",
            timeout_s=60,
        )
        assert set(in_ledger(platform)) == set(sent)
        assert balance(platform, 101) == len(sent)
        platform.wait_applied(len(sent))
        report = platform.audit(acknowledged)
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_sigterm_finishes_what_was_accepted(platform: Platform) -> None:
    with serving(platform, transaction_interval_ms=3_000) as (store, url):
        assert put(url, payment(amount=1)).status_code == 202  # the next is 3 s later
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(put, url, payment(amount=1)) for _ in range(20)]
            Patience().wait_until(
                lambda: _waiting(store.text) >= 20,
                what="the payments to be accepted",
                timeout_s=20,
            )
            assert store.terminate() == 0
            assert [a.result().status_code for a in answers] == [202] * 20
        with pytest.raises(httpx.ConnectError):
            put(url, payment())
    with platform.bank():
        platform.wait_applied(21)
    assert balance(platform, 101) == 21


def _waiting(log: str) -> float:
    """Transfers in the backlog, as the Store's metrics say."""
    page = httpx.get(f"{health_url(log)}/metrics").text
    lines = [each for each in page.splitlines() if each.startswith("once_backlog")]
    return float(lines[-1].split()[-1])
