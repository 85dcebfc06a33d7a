"""What a person must decide: the Bank says what is wrong and what to do.

Of one partition it keeps its hands and goes on with the others; it ends when all of
them are refused, or something that concerns them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile
from threading import Event

import httpx
import psycopg
import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.transfers import Chunk
from tests.fix_platform import (
    PARTITIONS,
    a_store,
    emit,
    health_url,
    transfer,
    verdict,
)
from tests.integration.kafka_admin import (
    create_topic,
    delete_group,
    delete_records,
    delete_topics,
    set_group_offsets,
)
from tests.integration.raw import Foreign, partition_of

pytestmark = pytest.mark.stack

REFUSED = 65
PAYER = 1
PARTITION = partition_of(PAYER)
OTHER_PAYER = next(n for n in range(2, 99) if partition_of(n) != PARTITION)


def ends(program: Program, timeout_s: float = 60.0) -> tuple[int, str]:
    """Exit status and last words, in one line."""
    status = program.process.wait(timeout_s)
    return status, " ".join(program.text.splitlines()[-1:])


def start_again(platform: Platform) -> tuple[int, str]:
    """Exit status and last words of a Bank that is started now."""
    with platform.bank("again", session_timeout_ms=2000) as bank:
        return ends(bank)


def refused(platform: Platform, others: int = OTHER_PAYER) -> str:
    """What a Bank that is started now says of PARTITION, after it paid elsewhere."""
    elsewhere = transfer(others)
    emit(platform, elsewhere)
    with platform.bank("again", session_timeout_ms=2000) as bank:
        wait_until(
            lambda: verdict(platform, elsewhere.transfer_id) == "POSTED",
            what="another partition to go on",
            timeout_seconds=30,
        )
        ready = httpx.get(f"{health_url(bank.text)}/readyz")
        metrics = httpx.get(f"{health_url(bank.text)}/metrics").text
        assert bank.process.poll() is None, bank.text
        assert httpx.get(f"{health_url(bank.text)}/livez").is_success
    assert ready.status_code == 503
    assert f'partition_id="{PARTITION}"' in next(
        line
        for line in metrics.splitlines()
        if line.startswith("once_partitions_refused")
    )
    why = str(ready.json()["checks"]["refused"])
    assert f'"error": "{why}"' in bank.text, "the log says it, too"
    return why


def apply(platform: Platform, records: int = 5) -> int:
    """Have some records applied and the Bank stopped; the position after them."""
    emit(platform, *[transfer(PAYER) for _ in range(records)])
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(records)
        assert bank.terminate() == 0
    return platform.positions()[PARTITION]


def as_migrator(platform: Platform, statement: str, *values: object) -> None:
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        connection.execute(statement.encode(), values)


def test_a_topic_created_again_while_the_bank_is_down_is_refused(
    platform: Platform,
) -> None:
    apply(platform)
    delete_topics(platform, platform.topic)
    create_topic(platform, platform.topic, PARTITIONS)
    emit(platform, *[transfer(PAYER) for _ in range(20)])
    status, words = start_again(platform)
    assert status == REFUSED
    assert f"topic {platform.topic} was deleted and created again" in words
    assert "docs/runbooks/topic-recreated.md" in words
    assert platform.applied() == 5


def test_a_topic_created_again_under_a_running_bank_is_refused(
    platform: Platform,
) -> None:
    emit(platform, *[transfer(PAYER) for _ in range(5)])
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(5)
        delete_topics(platform, platform.topic)
        create_topic(platform, platform.topic, PARTITIONS)
        status, words = ends(bank)
    assert status == REFUSED
    assert f"topic {platform.topic} was deleted and created again" in words
    assert platform.applied() == 5


def test_records_that_retention_took_before_they_were_applied_are_refused(
    platform: Platform,
) -> None:
    position = apply(platform)
    emit(platform, *[transfer(PAYER) for _ in range(5)])
    delete_records(platform, PARTITION, position + 3)
    words = refused(platform)
    here = f"{platform.topic}[{PARTITION}]"
    assert f"{here} begins at offset {position + 3}, but {position} is due" in words
    assert platform.applied() == 6


def test_results_that_retention_took_before_they_were_published_are_refused(
    platform: Platform,
) -> None:
    position = apply(platform)
    set_group_offsets(platform, {PARTITION: 1})
    delete_records(platform, PARTITION, position)
    words = refused(platform)
    assert f"begins at offset {position}, but 1 is due" in words


@pytest.mark.parametrize("kept", [0, 2])
def test_retention_of_what_was_applied_and_published_is_no_trouble(
    platform: Platform, kept: int
) -> None:
    """Also when it ends in the middle of a batch, of which `kept` records remain."""
    position = apply(platform)
    delete_records(platform, PARTITION, position - kept)
    emit(platform, transfer(PAYER))
    with platform.bank("again", session_timeout_ms=2000):
        platform.wait_applied(6)
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records == kept + 1


def test_a_lost_group_offset_is_refused(platform: Platform) -> None:
    apply(platform)
    delete_group(platform)
    words = refused(platform)
    assert f"the offset of group {platform.group} in {platform.topic}" in words
    assert "docs/runbooks/offset-lost.md" in words


@pytest.mark.nightly  # it is looked at again once a minute
def test_a_partition_that_is_mended_goes_on_by_itself(platform: Platform) -> None:
    position = apply(platform)
    waiting = [transfer(PAYER) for _ in range(5)]
    emit(platform, *waiting)
    set_group_offsets(platform, {PARTITION: position + 6})
    with platform.bank("again", session_timeout_ms=2000) as bank:
        wait_until(
            lambda: "partition refused" in bank.text,
            what="a refusal",
            timeout_seconds=30,
        )
        skip = "UPDATE positions SET next_offset = %s, last_digest = NULL"
        as_migrator(platform, f"{skip} WHERE partition = %s", position + 6, PARTITION)
        late = transfer(PAYER)
        emit(platform, late)
        wait_until(
            lambda: verdict(platform, late.transfer_id) == "POSTED",
            what="the partition to go on",
            timeout_seconds=120,
        )
        assert "are mended: begin anew" in bank.text
        ready = httpx.get(f"{health_url(bank.text)}/readyz")
        assert ready.json()["checks"]["refused"] == "ok"


def test_a_log_that_ends_before_the_position_is_refused(platform: Platform) -> None:
    position = apply(platform)
    beyond = "UPDATE positions SET next_offset = next_offset + 100 WHERE partition = %s"
    as_migrator(platform, beyond, PARTITION)
    words = refused(platform)
    assert f"the ledger has applied up to {position + 100}" in words
    assert f"{platform.topic}[{PARTITION}] ends at offset" in words


def test_a_ledger_that_forgot_a_record_it_has_applied_is_refused(
    platform: Platform,
) -> None:
    """As after a restore of some tables only."""
    apply(platform)
    forget = "SET session_replication_role = replica; DELETE FROM transfers"
    with psycopg.connect(platform.conninfo("postgres")) as connection:
        connection.execute(forget.encode())
    set_group_offsets(platform, {PARTITION: 0})
    words = refused(platform)
    assert "knows nothing of that record; run the audit: make audit" in words


def test_a_worker_that_refuses_a_partition_does_not_stop_its_siblings(
    platform: Platform,
) -> None:
    position = apply(platform)
    emit(platform, *[transfer(PAYER) for _ in range(5)])
    delete_records(platform, PARTITION, position + 3)
    payers = range(2, 99)
    others = [transfer(p) for p in payers if partition_of(p) != PARTITION]
    emit(platform, *others)
    command = ["consumers.bank", "run", "--workers", "2"]
    log = platform.logs / "supervisor.log"
    settings = {**platform.environment(), "BANK_INSTANCE": platform.name}
    with Program(command, settings, log) as bank:
        wait_until(
            lambda: platform.applied() == 5 + len(others),
            what="the other partitions to go on",
            timeout_seconds=60,
        )
        wait_until(
            lambda: "partition refused" in bank.text,
            what="a refusal",
            timeout_seconds=30,
        )
        assert bank.process.poll() is None
        assert "worker died" not in bank.text
        assert bank.terminate() == 0


def test_retention_that_empties_an_idle_partition_is_no_trouble(
    platform: Platform,
) -> None:
    """Offset 5 is the marker of the transaction, and is gone, too."""
    position = apply(platform)
    delete_records(platform, PARTITION, position + 1)
    emit(platform, transfer(PAYER))
    with platform.bank("again", session_timeout_ms=2000) as bank:
        platform.wait_applied(6)
        assert "refused" not in bank.text
    assert platform.audit().invariants_ok


def test_retention_of_an_aborted_tail_is_no_trouble(platform: Platform) -> None:
    apply(platform)
    with Foreign(platform) as foreign:
        gone = foreign.send(foreign.transfer(), foreign.transfer(), commit=False)
    with platform.bank("idle", session_timeout_ms=2000) as bank:
        seen = "SELECT seen_until > %s FROM positions WHERE partition = %s"
        with psycopg.connect(platform.conninfo("audit"), autocommit=True) as connection:
            wait_until(
                lambda: connection.execute(seen, (gone[-1], PARTITION)).fetchone()
                == (True,),
                what="an idle Bank to note how far it has read",
                timeout_seconds=30,
            )
        bank.kill()
    delete_records(platform, PARTITION, gone[-1] + 2)
    emit(platform, transfer(PAYER))
    with platform.bank("again", session_timeout_ms=2000) as bank:
        platform.wait_applied(6)
        assert "refused" not in bank.text


def test_a_log_that_was_cut_and_has_grown_again_is_refused(platform: Platform) -> None:
    """New records have offsets that the ledger has applied from the old log."""
    position = apply(platform)
    cut = "UPDATE positions SET next_offset = next_offset + 20 WHERE partition = %s"
    as_migrator(platform, cut, PARTITION)
    set_group_offsets(platform, {PARTITION: position + 20})
    for _ in range(20):
        emit(platform, transfer(PAYER), transfer(PAYER))
    words = refused(platform)
    assert f"holds another record at offset {position + 19}" in words
    assert "docs/runbooks/position-not-in-log.md" in words


def test_a_group_offset_beyond_the_position_is_refused(platform: Platform) -> None:
    """As a Kafka UI leaves it that was told: reset to latest."""
    position = apply(platform)
    emit(platform, *[transfer(PAYER) for _ in range(5)])
    set_group_offsets(platform, {PARTITION: position + 6})
    words = refused(platform)
    assert f"published up to {position + 6}" in words
    assert f"applied up to {position} only" in words
    assert "docs/runbooks/ledger-behind.md" in words


@contextmanager
def a_copy_of_the_ledger(
    platform: Platform, name: str
) -> Iterator[Callable[[str], str]]:
    """A backup of now, as a database beside it; how a role reaches it."""
    superuser = platform.stack.conninfo(user="postgres", dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        make = f'CREATE DATABASE "{name}" TEMPLATE "{platform.dbname}"'
        connection.execute(make.encode())
        try:
            yield lambda role: platform.stack.conninfo(user=role, dbname=name)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_an_older_ledger_is_refused(platform: Platform) -> None:
    apply(platform)
    with a_copy_of_the_ledger(platform, f"old-{platform.name}") as old:
        emit(platform, transfer(PAYER))
        with platform.bank(session_timeout_ms=2000) as bank:
            platform.wait_applied(6)
            assert bank.terminate() == 0
        with platform.bank(
            "restored", conninfo=old("bank"), session_timeout_ms=2000
        ) as bank:
            why = "it is an older copy"
            wait_until(lambda: why in bank.text, what="a refusal", timeout_seconds=30)


def test_an_older_ledger_that_has_gone_on_is_refused(platform: Platform) -> None:
    """Its position is beyond the group's offset, but the batches are others."""
    apply(platform)
    with a_copy_of_the_ledger(platform, f"old-{platform.name}") as old:
        emit(platform, transfer(PAYER))
        with platform.bank(session_timeout_ms=2000) as bank:
            platform.wait_applied(6)
            assert bank.terminate() == 0
        with psycopg.connect(old("postgres")) as connection:
            replay = (
                "SET session_replication_role = replica;"
                "UPDATE positions SET next_offset = next_offset + 2,"
                " batch_number = batch_number + 1;"
                "INSERT INTO batches SELECT topic, partition, batch_number + 1,"
                " last_offset + 1, last_offset + 2, 1, 1, 0, sha256(hash) FROM batches"
            )
            connection.execute(replay.encode())
        with platform.bank(
            "restored", conninfo=old("bank"), session_timeout_ms=2000
        ) as bank:
            why = "an older copy that has gone on"
            wait_until(lambda: why in bank.text, what="a refusal", timeout_seconds=30)


def test_another_ledger_in_the_same_group_is_refused(platform: Platform) -> None:
    apply(platform)
    with a_copy_of_the_ledger(platform, f"staging-{platform.name}") as other:
        with psycopg.connect(other("postgres")) as connection:
            connection.execute("UPDATE ledger_identity SET ledger_id = DEFAULT")
        with platform.bank(
            "staging", conninfo=other("bank"), session_timeout_ms=2000
        ) as bank:
            why = f"group {platform.group} publishes another ledger"
            wait_until(lambda: why in bank.text, what="a refusal", timeout_seconds=30)


def test_two_banks_of_one_name_say_so(platform: Platform) -> None:
    with (
        platform.bank("same", session_timeout_ms=2000) as one,
        platform.bank("same", session_timeout_ms=2000) as other,
        ThreadPoolExecutor(1) as pool,
        a_store(platform) as store,
    ):
        lines = (Chunk.of([transfer(n % 90 + 1)]) for n in range(100_000))
        ended = Event()
        log = AcknowledgementLog(None)
        emitting = pool.submit(
            store.emit, takewhile(lambda _: not ended.wait(0.05), lines), log
        )
        wait_until(
            lambda: None not in (one.process.poll(), other.process.poll())
            or one.process.poll() == REFUSED
            or other.process.poll() == REFUSED,
            what="one of the two to leave",
            timeout_seconds=90,
        )
        ended.set()
        acknowledged = emitting.result().acknowledged
        said = one.text + other.text
        assert f"another Bank sends as bank-{platform.name}-same" in said
        assert "give each worker its own BANK_INSTANCE" in said
        with platform.bank("other"):  # both may have left, if they met at once
            platform.wait_applied(acknowledged)
