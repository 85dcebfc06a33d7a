"""The audit finds what is planted in the order, the results, the guards and the numbers
(I6 to I10), names it, and finds nothing else."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from consumers.bank.audit import run
from consumers.bank.audit.beside import Beside
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.results import Fold
from consumers.bank.audit.topics import Topics
from local.platform import Platform
from tests.fix_platform import emit, transfer
from tests.integration.published import Result, results
from tests.integration.raw import Foreign
from tests.integration.spoilt import (
    PARTITION,
    PAYER,
    Copy,
    Row,
    aborted_offset,
    broken,
    found,
    posted,
)

pytestmark = pytest.mark.stack


def test_i6_a_hash_that_is_not_the_logs(copy: Copy) -> None:
    copy.spoil(
        "UPDATE batches SET hash = sha256(hash) WHERE partition = %s"
        " AND batch_number = 2",
        PARTITION,
    )
    said = found(copy, "I6")
    assert f"{copy.topic}[{PARTITION}]: batch 2 (" in said
    assert "batch 1 (" not in said


def test_i6_a_batch_that_is_gone(copy: Copy) -> None:
    copy.spoil(
        "DELETE FROM batches WHERE partition = %s AND batch_number = 2", PARTITION
    )
    said = found(copy, "I6")
    assert f"{copy.topic}[{PARTITION}]: batch 3 from" in said


def test_i6_a_position_moved_on(copy: Copy) -> None:
    forward = "UPDATE positions SET next_offset = next_offset + 1 WHERE partition = %s"
    copy.spoil(forward, PARTITION)
    assert f"{copy.topic}[{PARTITION}]: position says batch" in found(copy, "I6")


def test_i6_a_position_moved_back(copy: Copy) -> None:
    """What was applied beyond it has no record below it, and its result is early."""
    back = "UPDATE positions SET next_offset = next_offset - 1 WHERE partition = %s"
    copy.spoil(back, PARTITION)
    last = copy.rows(f"partition = {PARTITION}")[-1]
    said = found(copy, "I3", "I6", "I8")
    assert f"{copy.topic}[{PARTITION}]: position says batch" in said
    assert f"ledger row {last.transfer_id} claims {copy.where(last)}" in said


def test_i7_two_transfers_applied_in_the_wrong_order(copy: Copy) -> None:
    """Of one amount, so that every sum is right."""
    one, other = [row for row in posted(copy) if row.amount == 100][:2]
    swap = "UPDATE transfers SET debits_after = %s WHERE transfer_id = %s"
    copy.spoil(swap, other.debits_after, one.transfer_id)
    copy.spoil(swap, one.debits_after, other.transfer_id)
    assert f"transfer {one.transfer_id} of account {PAYER}" in found(copy, "I7")


def test_i7_a_sum_that_skips_a_transfer(copy: Copy) -> None:
    row = posted(copy)[-1]
    copy.spoil(
        "UPDATE transfers SET debits_after = debits_after + 1 WHERE transfer_id = %s",
        row.transfer_id,
    )
    assert f"transfer {row.transfer_id} of account {PAYER}" in found(copy, "I7")


def of(all_results: list[Result], row: Row) -> Result:
    (result,) = [
        each
        for each in all_results
        if (each.partition, each.offset) == (row.partition, row.record_offset)
    ]
    return result


def test_i8_a_result_that_is_missing(copy: Copy) -> None:
    said, row = results(copy), posted(copy)[0]
    said.remove(of(said, row))
    with copy.with_results(said) as spoilt:
        finding = found(spoilt, "I8")
    assert f"{copy.where(row)}, transfer {row.transfer_id}, verdict 1" in finding
    assert "the results topic has nothing" in finding


def test_i8_a_result_that_is_there_twice(copy: Copy) -> None:
    said, row = results(copy), posted(copy)[0]
    with copy.with_results([*said, of(said, row)]) as spoilt:
        finding = found(spoilt, "I8")
    assert f"{copy.where(row)}, transfer {row.transfer_id}, verdict 1" in finding
    assert "the results topic has [1, 1]" in finding


def test_i8_a_result_that_says_something_else(copy: Copy) -> None:
    said, row = results(copy), posted(copy)[0]
    right = of(said, row)
    wrong = replace(right, verdict="DECLINED_INSUFFICIENT_FUNDS")
    with copy.with_results([wrong if r == right else r for r in said]) as spoilt:
        finding = found(spoilt, "I8")
    assert f"{copy.where(row)}, transfer {row.transfer_id}, verdict 1" in finding
    assert "the results topic has [5]" in finding


def test_i8_a_result_of_another_transfer(copy: Copy) -> None:
    said, row = results(copy), posted(copy)[0]
    right = of(said, row)
    wrong = replace(right, transfer_id=uuid4())
    with copy.with_results([wrong if r == right else r for r in said]) as spoilt:
        assert f"{copy.where(row)}, transfer" in found(spoilt, "I8")


def test_i8_a_result_that_is_told_to_another_store(copy: Copy) -> None:
    said, row = results(copy), posted(copy)[1]
    right = of(said, row)
    assert right.emitter is not None
    for other, named in ((bytes(range(16)), UUID(bytes=bytes(range(16)))), (None, "")):
        wrong = replace(right, emitter=other)
        with copy.with_results([wrong if r == right else r for r in said]) as spoilt:
            finding = found(spoilt, "I8")
        told = f"tells it to {named or 'nobody'}, not to {UUID(bytes=right.emitter)}"
        assert f"{copy.where(row)}, transfer {row.transfer_id}" in finding
        assert told in finding


def test_i8_a_result_under_another_key_which_its_store_would_pass_over(
    copy: Copy,
) -> None:
    said, row = results(copy), posted(copy)[1]
    with copy.with_results(said, wrong_key=of(said, row)) as spoilt:
        finding = found(spoilt, "I8")
    assert "is no results record: ValueError('another key than its emitter')" in finding
    assert f"{copy.where(row)}, transfer {row.transfer_id}, verdict 1" in finding


def test_i8_a_result_of_no_record(copy: Copy) -> None:
    at = aborted_offset(copy)
    invented = Result(PARTITION, at, uuid4(), "POSTED")
    with copy.with_results([*results(copy), invented]) as spoilt:
        finding = found(spoilt, "I8")
    assert f"a result for {copy.topic}[{PARTITION}]@{at}: no such record" in finding


def test_i8_a_result_of_no_partition(copy: Copy) -> None:
    invented = Result(99, 0, uuid4(), "POSTED")
    with copy.with_results([*results(copy), invented]) as spoilt:
        assert f"{copy.topic} has no partition 99" in found(spoilt, "I8")


def test_i8_results_of_partitions_that_nothing_was_published_in_yet(
    copy: Copy,
) -> None:
    """As an audit sees it that begins before the Bank has published anything there."""
    early = copy.with_group_offsets({})
    nowhere = Fold({}, {})
    settings = early.audit_settings()
    with (
        closing(Snapshot(settings.conninfo.get_secret_value())) as snapshot,
        Beside(settings, snapshot, nowhere, None) as beside,
    ):
        evidence, _ = beside.results.result()
    assert evidence.checked["I8"] > 0
    assert evidence.violations["I8"] == 0


def test_i8_the_first_results_are_published_while_the_audit_reads(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the Bank's first COMMIT and its results, the group has no offset."""
    group_offsets = Topics.group_offsets
    asked: list[str] = []

    def none_at_first(topics: Topics, topic: str) -> dict[int, int]:
        asked.append(topic)
        return group_offsets(topics, topic) if len(asked) > 2 else {}

    monkeypatch.setattr(Topics, "group_offsets", none_at_first)
    assert copy.audit().invariants_ok
    assert len(asked) == 3


def test_i8_a_group_that_has_lost_its_offsets(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FIRST_RESULTS_SECONDS_MAX", 0.5)
    lost = replace(copy, own_group=f"group-{uuid4()}")
    said = found(lost, "I8")
    assert f"group {lost.group} has no offset in {copy.topic}[{PARTITION}]" in said
    assert "has no partition" not in said


def test_i8_results_said_to_be_published_that_are_not_there(copy: Copy) -> None:
    ahead = {PARTITION: copy.positions()[PARTITION] + 5}
    said = found(copy.with_group_offsets(ahead), "I8")
    assert f"{copy.topic}[{PARTITION}]" in said


@pytest.mark.parametrize(
    "opened",
    [
        "ALTER TABLE transfers DISABLE TRIGGER immutable",
        "ALTER TABLE transfers ENABLE REPLICA TRIGGER immutable",
        "DROP TRIGGER immutable ON transfers",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "DROP TRIGGER immutable ON transfers; CREATE TRIGGER immutable BEFORE DELETE"
        " ON transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        "DROP TRIGGER immutable ON transfers; CREATE TRIGGER immutable"
        " BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers FOR EACH STATEMENT"
        " WHEN (false) EXECUTE FUNCTION refuse_change()",
    ],
)
def test_i9_a_trigger_that_refuses_no_more(copy: Copy, opened: str) -> None:
    copy.run(opened)
    assert "table transfers has no enabled trigger" in found(copy, "I9")


@pytest.mark.parametrize(
    ("grant", "finding"),
    [
        ("UPDATE ON transfers TO bank", "role bank may UPDATE transfers"),
        ("UPDATE (memo) ON transfers TO bank", "role bank may UPDATE transfers"),
        ("DELETE ON batches TO audit", "role audit may DELETE batches"),
        ("TRUNCATE ON quarantine TO PUBLIC", "role bank may TRUNCATE quarantine"),
    ],
)
def test_i9_a_role_that_may_change_rows(copy: Copy, grant: str, finding: str) -> None:
    copy.run(f"GRANT {grant}")
    assert finding in found(copy, "I9")


def test_i10_a_number_that_is_skipped(platform: Platform) -> None:
    emit(platform, transfer(PAYER))
    with platform.bank(session_timeout_ms=2000) as bank, Foreign(platform) as foreign:
        platform.wait_applied(1)
        with psycopg.connect(platform.conninfo("audit")) as connection:
            query = "SELECT emitter, next_sequence FROM emitters"
            ((emitter, due),) = connection.execute(query).fetchall()
        jumped = foreign.transfer(emitter=emitter.bytes, emitter_sequence=due + 2)
        (offset,) = foreign.send(jumped)
        platform.wait_applied(2)
        assert "an emitter's records are missing" in bank.text
    said = broken(platform.audit())
    assert list(said) == ["I10"]
    here = f"emitter {emitter}, partition {PARTITION}"
    assert f"{here}: 2 records missing before offset {offset}" in said["I10"]
    assert f"the Bank noticed: {here}, offset {offset}" in said["I10"]


def test_nothing_is_found_while_store_and_bank_are_at_work(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "acknowledged"
    log.touch()
    load = ["--seconds", "16", "--rate", "3000", "--ack-log", str(log)]
    load += ["--accounts", "100", "--merchants", "10", "--amount-max", "100"]
    audits = 0
    with platform.bank(session_timeout_ms=2000), platform.store(*load) as store:
        while store.process.poll() is None:
            report = platform.audit(log)
            assert report.invariants_ok, report.model_dump_json(indent=2)
            audits += report.records > 0
        assert store.process.returncode == 0, store.text
        platform.wait_applied(len(log.read_text().splitlines()))
    assert audits >= 2, "the load was over too soon"
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
