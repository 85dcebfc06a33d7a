"""The Store on real brokers: acknowledged is kept, in doubt is sent again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from local.platform import Platform
from local.platform.environments import for_program
from local.processes.waiting import wait_until
from once.errors import Refused
from once.producer import in_turn
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.emitter import FENCES_MAX
from producers.store.generate import Generator, Population
from producers.store.transfers import Chunk
from tests.fix_platform import (
    MERCHANTS,
    PAYERS,
    a_store,
    emit,
    store_settings,
    transfer,
)

pytestmark = pytest.mark.stack

POPULATION = Population(accounts=PAYERS, merchants=MERCHANTS, amount_max=100)


def test_lines_from_standard_input_are_sent_and_bad_ones_reported(
    platform: Platform,
) -> None:
    good = json.loads(transfer().model_dump_json())
    text = "\n".join([json.dumps(good), "{broken", json.dumps(good | {"amount": -1})])
    done = emitted(platform, text)
    assert done.returncode == 1, done.stderr
    assert b"acknowledged 1 transfers" in done.stdout
    assert b"rejected 2" in done.stdout
    assert b"line 2:" in done.stderr
    assert b"line 3: amount" in done.stderr
    told = json.loads(emitted(platform, text, "--json").stdout)
    assert told.pop("seconds") > 0
    assert told == {"acknowledged": 1, "transactions": 1, "rejected": 2}


def emitted(
    platform: Platform, text: str, *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    """What became of these lines."""
    return subprocess.run(
        [sys.executable, "-m", "producers.store", "emit", "-", *arguments],
        input=text.encode(),
        env={
            **for_program(["producers.store"], platform.environment()),
            "STORE_INSTANCE": platform.name,
            "PATH": "",
        },
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_store_killed_in_mid_run_has_lost_nothing_that_it_acknowledged(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "acknowledged"
    arguments = ("--count", "1000000", "--ack-log", str(log))
    settings = {"transaction_records_max": 500}
    with platform.store(*arguments, settings=settings) as store:
        wait_until(
            lambda: log.exists() and log.stat().st_size > 37 * 3_000,
            what="3000 acknowledgements",
            timeout_seconds=60,
            interval_seconds=0.01,
        )
        store.kill()
    # The same instance again: it fences the killed one and aborts what that left open.
    emit(platform, transfer(), ack_log=log)
    acknowledged = len(log.read_text().splitlines())
    with platform.bank():
        platform.wait_applied(acknowledged)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records >= acknowledged


def test_the_same_chunk_sent_again_after_doubt_has_one_effect(
    platform: Platform, tmp_path: Path
) -> None:
    chunk = Chunk.of([transfer(), transfer()])
    with a_store(platform) as store:
        emitter = store.emitters[0]
        emitter.emit(chunk)
        first = emitter.producer.incarnation
        emitter.producer.close()  # as after an indeterminate commit
        emitter.emit(chunk)
        assert emitter.producer.incarnation != first
        assert emitter.producer.recycles == 1
    with platform.bank():
        platform.wait_applied(4)
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert (report.posted, report.repeats) == (2, 2)


def test_a_broker_that_dies_delays_the_store_and_loses_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "acknowledged"
    broker = platform.stack.processes["kafka-2"]
    generator = Generator(POPULATION, 1)
    with a_store(platform) as store, AcknowledgementLog(log) as acknowledged:
        store.emit([generator.chunk(500) for _ in range(4)], acknowledged)
        broker.kill()
        try:
            store.emit([generator.chunk(500) for _ in range(4)], acknowledged)
        finally:
            broker.start()
            platform.stack.kafka.wait_ready()
        store.emit([generator.chunk(500)], acknowledged)
    with platform.bank():
        platform.wait_applied(4_500, timeout_seconds=90)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_two_stores_of_one_name_fence_each_other_and_one_is_told_so(
    platform: Platform,
) -> None:
    settings = store_settings(platform, "twin")
    kafka = {"bootstrap.servers": settings.bootstrap_servers}
    twins = in_turn(kafka, f"store-{settings.instance}.")
    with a_store(platform, "twin") as store:
        with pytest.raises(Refused, match="STORE_INSTANCE"):
            for _ in range(FENCES_MAX + 1):
                for emitter, twin in zip(store.emitters, twins, strict=True):
                    emitter.emit(Chunk.of([transfer()]))
                    twin.recycle()
            store.emitters[0].emit(Chunk.of([transfer()]))
    for twin in twins:
        twin.close()


def test_batches_that_the_topic_refuses_end_the_store_with_the_setting(
    platform: Platform,
) -> None:
    small = ConfigResource(
        ConfigResource.Type.TOPIC,
        platform.topic,
        incremental_configs=[
            ConfigEntry(
                "max.message.bytes",
                "20000",
                incremental_operation=AlterConfigOpType.SET,
            )
        ],
    )
    admin = platform.admin()
    for done in admin.incremental_alter_configs([small]).values():
        done.result(30)
    with platform.store("--count", "40000") as store:
        assert store.process.wait(60) == 78, store.text
    last = store.text.strip().splitlines()[-1]
    assert last.startswith("Defect: ") and "max.message.bytes" in last
