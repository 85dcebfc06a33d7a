"""What a person must decide: the Bank stops, says what is wrong and what to do."""

from pathlib import Path

import psycopg
import pytest

from local.platform import Platform, Program
from tests.fix_platform import PARTITIONS, emit, transfer
from tests.integration.kafka_admin import (
    create_topic,
    delete_group,
    delete_records,
    delete_topics,
    set_group_offsets,
)
from tests.integration.raw import partition_of

pytestmark = pytest.mark.stack

REFUSED, DEFECT = 65, 78
PAYER = 1
PARTITION = partition_of(PAYER)


def ends(program: Program, timeout_s: float = 60.0) -> tuple[int, str]:
    """Exit status and last words, in one line."""
    status = program.process.wait(timeout_s)
    return status, " ".join(program.text.splitlines()[-1:])


def start_again(platform: Platform) -> tuple[int, str]:
    """Exit status and last words of a Bank that is started now."""
    with platform.bank("again", session_timeout_ms=2000) as bank:
        return ends(bank)


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
    status, words = start_again(platform)
    assert status == REFUSED
    here = f"{platform.topic}[{PARTITION}]"
    assert f"{here} begins at offset {position + 3}, but {position} is due" in words
    assert platform.applied() == 5


def test_results_that_retention_took_before_they_were_published_are_refused(
    platform: Platform,
) -> None:
    position = apply(platform)
    set_group_offsets(platform, {PARTITION: 1})
    delete_records(platform, PARTITION, position)
    status, words = start_again(platform)
    assert status == REFUSED
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
    status, words = start_again(platform)
    assert status == REFUSED
    assert f"the offset of group {platform.group} in {platform.topic}" in words
    assert "docs/runbooks/offset-lost.md" in words


def test_a_log_that_ends_before_the_position_is_refused(platform: Platform) -> None:
    position = apply(platform)
    beyond = "UPDATE positions SET next_offset = next_offset + 100 WHERE partition = %s"
    as_migrator(platform, beyond, PARTITION)
    status, words = start_again(platform)
    assert status == REFUSED
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
    status, words = start_again(platform)
    assert status == REFUSED
    assert "knows nothing of that record; run the audit: make audit" in words


def test_one_worker_that_refuses_ends_the_others_too(platform: Platform) -> None:
    apply(platform)
    delete_group(platform)
    command = ["consumers.bank", "run", "--workers", "2"]
    log = platform.logs / "supervisor.log"
    with Program(command, platform.environment(), log) as bank:
        assert bank.process.wait(60) == REFUSED, bank.text


def test_missing_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["BOOTSTRAP_SERVERS", "REGISTRY_URL", "CONNINFO"]
    for name in wanted:
        monkeypatch.delenv(f"BANK_{name}", raising=False)
    with Program(["consumers.bank", "run"], {}, tmp_path / "bank.log") as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    for name in wanted:
        assert f"BANK_{name}" in words


def test_a_setting_that_makes_no_sense_is_named(platform: Platform) -> None:
    with platform.bank(batch_records_max="many", batch_linger_ms=0) as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "BANK_BATCH_RECORDS_MAX, BANK_BATCH_LINGER_MS" in words


def test_a_database_without_a_ledger_is_named(platform: Platform) -> None:
    conninfo = platform.stack.conninfo(user="bank", dbname="postgres")
    with platform.bank(conninfo=conninfo) as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "make migrate" in words


def test_a_topic_without_a_schema_is_named(platform: Platform) -> None:
    with platform.bank(topic="unregistered") as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "unregistered-value" in words
    assert "make register" in words
