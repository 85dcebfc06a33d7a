"""The promise, tried on the real parts: acknowledged is in the ledger, exactly once."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from local.platform import Platform
from local.processes.waiting import wait_until
from once import resources
from once.columns import ColumnWriter
from once.registry import Registry, frame, load_schema
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.generate import Generator, Population
from tests.fix_platform import (
    MERCHANTS,
    PAYERS,
    a_store,
    balance,
    emit,
    transfer,
    verdict,
)
from tests.integration.kafka_admin import set_group_offsets

pytestmark = pytest.mark.stack

POPULATION = Population(accounts=PAYERS, merchants=MERCHANTS, amount_max=100)


def emit_many(platform: Platform, count: int, log: Path, seed: int = 1) -> None:
    """Emit made-up transfers in transactions of a thousand."""
    generator = Generator(POPULATION, seed)
    with a_store(platform) as store, AcknowledgementLog(log) as acknowledged:
        chunks = (generator.chunk(1000) for _ in range(count // 1000))
        store.emit(chunks, acknowledged)


def wait_until_applied(platform: Platform, records: int) -> None:
    wait_until(
        lambda: platform.applied() >= records,
        what=f"{records} records to be applied",
        timeout_seconds=60,
        interval_seconds=0.02,
    )


def test_a_transfer_is_posted_and_its_result_is_published(platform: Platform) -> None:
    line = transfer(amount=250)
    emit(platform, line)
    with platform.bank():
        platform.wait_applied(1)
    assert verdict(platform, line.transfer_id) == "POSTED"
    assert (balance(platform, 1), balance(platform, 101)) == (-250, 250)
    assert platform.audit().invariants_ok


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.nightly)])
def test_a_worker_killed_in_mid_run_loses_and_repeats_nothing(
    platform: Platform, tmp_path: Path, kills: int
) -> None:
    log = tmp_path / "acknowledged"
    emit_many(platform, 30_000, log)
    for kill in range(kills):
        with platform.bank(batch_records_max=500, session_timeout_ms=2000) as bank:
            wait_until_applied(platform, 5_000 * (kill + 1))
            bank.kill()
    with platform.bank():
        platform.wait_applied(30_000)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records == 30_000


def test_two_workers_share_the_partitions_and_take_over_from_each_other(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "acknowledged"
    emit_many(platform, 20_000, log)
    with platform.bank("a", batch_records_max=500, session_timeout_ms=2000) as one:
        wait_until_applied(platform, 2_000)
        with platform.bank(
            "b", batch_records_max=500, session_timeout_ms=2000
        ) as other:
            wait_until(
                lambda: "partitions assigned" in other.text,
                what="the second worker to get partitions",
                timeout_seconds=30,
            )
            emit_many(platform, 10_000, log, seed=2)
            one.kill()
            # If it died at its very beginning, the other one goes on with care.
            platform.wait_applied(30_000, timeout_seconds=150)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_a_woken_zombie_commits_nothing(platform: Platform, tmp_path: Path) -> None:
    log = tmp_path / "acknowledged"
    emit_many(platform, 20_000, log)
    with platform.bank("zombie", batch_records_max=500, session_timeout_ms=6000) as old:
        wait_until_applied(platform, 3_000)
        old.pause()
        with platform.bank("heir", session_timeout_ms=6000) as heir:
            # The zombie may hold row locks of an open transaction; once its partitions
            # are given away, the heir waits for nothing but these.
            wait_until(
                lambda: "partitions assigned" in heir.text,
                what="the heir to get the partitions",
                timeout_seconds=40,
            )
            old.resume()
            platform.wait_applied(20_000)
            assert old.process.poll() is None, old.text
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_replaying_the_topic_from_offset_zero_changes_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "acknowledged"
    emit_many(platform, 5_000, log)
    with platform.bank() as bank:
        platform.wait_applied(5_000)
        assert bank.terminate() == 0
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT * FROM balances ORDER BY account"
        before = connection.execute(query).fetchall()
    # The worst kind of replay: the same records once more, on top of the topic.
    emit_again(platform, log)
    with platform.bank():
        platform.wait_applied(10_000)
    with psycopg.connect(platform.conninfo("audit")) as connection:
        assert connection.execute(query).fetchall() == before
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.repeats == 5_000


def emit_again(platform: Platform, log: Path) -> None:
    """Send every transfer of the ledger again, with the same ids."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute(
            "SELECT transfer_id, debit_account, credit_account, amount, currency"
            " FROM transfers"
        ).fetchall()
    lines = [
        transfer(payer, payee, amount, transfer_id=transfer_id, currency=currency)
        for transfer_id, payer, payee, amount, currency in rows
    ]
    emit(platform, *lines, ack_log=log)


def test_group_offsets_put_back_to_zero_publish_nothing_twice_wrongly(
    platform: Platform, tmp_path: Path
) -> None:
    """A tool that resets the group cannot make the ledger apply anything again."""
    emit_many(platform, 2_000, tmp_path / "acknowledged")
    with platform.bank() as bank:
        platform.wait_applied(2_000)
        assert bank.terminate() == 0
    before = platform.positions()
    set_group_offsets(platform, dict.fromkeys(before, 0))
    with platform.bank():
        platform.wait_applied(2_000)
    assert platform.positions() == before
    report = platform.audit()
    broken = [name for name, line in report.invariants.items() if not line.holds]
    assert broken == ["I8"], "results are there twice, and the audit says so"


def test_records_of_an_aborted_transaction_are_never_applied(
    platform: Platform,
) -> None:
    registry = Registry(platform.stack.endpoints.registry_url)
    schema = load_schema(resources.find("avro/transfer.avsc"))
    writer = ColumnWriter(
        schema, frame(registry.id_of(f"{platform.topic}-value", schema))
    )
    registry.close()
    aborted, kept = transfer(payer=2), transfer(payer=2)
    producer = Producer(
        {
            "bootstrap.servers": platform.stack.endpoints.bootstrap_servers,
            "transactional.id": f"foreign-{platform.name}",
        }
    )
    producer.init_transactions(30)
    for line, commit in ((aborted, False), (kept, True)):
        (value,) = writer.write(
            {
                "transfer_id": [line.transfer_id.bytes],
                "debit_account": [2],
                "credit_account": [101],
                "amount": [100],
                "currency": [b"EUR"],
                "memo": [""],
                "created_at_ms": [line.created_at_ms],
                "emitter": [None],
                "emitter_sequence": [0],
            }
        )
        producer.begin_transaction()
        producer.produce(platform.topic, value, b"2")
        producer.flush()
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    with platform.bank():
        platform.wait_applied(1)
    assert verdict(platform, kept.transfer_id) == "POSTED"
    assert verdict(platform, aborted.transfer_id) is None
    assert platform.audit().invariants_ok


def test_a_repeat_has_no_effect_whatever_it_says(platform: Platform) -> None:
    first = transfer(payer=3, amount=10)
    other = transfer(payer=3, amount=11, transfer_id=first.transfer_id)
    elsewhere = transfer(payer=4, amount=10, transfer_id=first.transfer_id)
    emit(platform, first, first, other)
    emit(platform, elsewhere, first)
    with platform.bank():
        platform.wait_applied(5)
    spent = balance(platform, 3) + balance(platform, 4)
    assert spent == -10 == -balance(platform, 101)
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert (report.posted, report.repeats) == (1, 4)


def test_sigterm_drains_and_leaves_cleanly(platform: Platform, tmp_path: Path) -> None:
    emit_many(platform, 5_000, tmp_path / "acknowledged")
    with platform.bank(batch_records_max=200) as bank:
        wait_until_applied(platform, 1_000)
        assert bank.terminate() == 0
        assert "left cleanly" in bank.text
    assert platform.positions() == platform.published()
    assert platform.audit().invariants_ok
