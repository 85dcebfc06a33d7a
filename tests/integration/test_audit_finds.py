"""The audit finds what is planted in the ledger's rows and sums (I1 to I5), names it,
and finds nothing else."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.integration.spoilt import (
    ABORTED,
    MERCHANT,
    PARTITION,
    PAYER,
    Copy,
    Row,
    aborted_offset,
    broken,
    declined,
    found,
    posted,
)

pytestmark = pytest.mark.stack


def test_a_copy_that_is_not_spoilt_is_healthy(copy: Copy) -> None:
    assert broken(copy.audit()) == {}


def test_i1_a_declined_transfer_that_is_gone(copy: Copy) -> None:
    gone = declined(copy)
    copy.spoil("DELETE FROM transfers WHERE transfer_id = %s", gone.transfer_id)
    said = found(copy, "I1", "I6", "I8")
    assert f"{copy.where(gone)}, transfer {gone.transfer_id}, is in no ledger" in said


def test_i1_a_posted_transfer_that_is_gone(copy: Copy) -> None:
    gone = posted(copy)[-1]
    copy.spoil("DELETE FROM transfers WHERE transfer_id = %s", gone.transfer_id)
    said = found(copy, "I1", "I4", "I6", "I8")
    assert f"{copy.where(gone)}, transfer {gone.transfer_id}, is in no ledger" in said
    assert f"account {PAYER}: debits are" in said


def test_i1_a_transfer_that_was_set_aside_though_it_is_one(copy: Copy) -> None:
    row = declined(copy)
    copy.spoil("DELETE FROM transfers WHERE transfer_id = %s", row.transfer_id)
    copy.spoil(
        "INSERT INTO quarantine (topic, partition, record_offset, reason, detail)"
        " VALUES (%s, %s, %s, 'BAD_BYTES', '')",
        copy.topic,
        row.partition,
        row.record_offset,
    )
    said = found(copy, "I1", "I6", "I8")
    assert f"{copy.where(row)} is a transfer, but was set aside: BAD_BYTES" in said


def test_i1_a_record_that_is_in_quarantine_no_more(copy: Copy) -> None:
    copy.spoil("DELETE FROM quarantine")
    said = found(copy, "I1", "I6", "I8")
    assert "is no transfer (NOT_FRAMED) and is not in quarantine" in said


def test_i1_an_acknowledged_id_that_is_nowhere(copy: Copy, tmp_path: Path) -> None:
    lost, kept = uuid4(), posted(copy)[0].transfer_id
    log = tmp_path / "acknowledged"
    log.write_text(f"{kept}\n{lost}\n")
    report = copy.audit(log)
    assert list(broken(report)) == ["I1"]
    assert str(lost) in broken(report)["I1"]
    assert str(kept) not in broken(report)["I1"]
    assert report.lost == 1


def insert_again(copy: Copy, row: Row) -> None:
    """The same row once more, which the primary key would not let in."""
    copy.run("ALTER TABLE transfers DROP CONSTRAINT transfers_pkey")
    again = "INSERT INTO transfers SELECT * FROM transfers WHERE transfer_id = %s"
    copy.spoil(again, row.transfer_id)


def test_i2_a_declined_transfer_that_is_there_twice(copy: Copy) -> None:
    twice = declined(copy)
    insert_again(copy, twice)
    assert f"transfer {twice.transfer_id} has 2 rows" in found(copy, "I2")


def test_i2_a_transfer_that_is_posted_twice(copy: Copy) -> None:
    twice = posted(copy)[-1]
    insert_again(copy, twice)
    copy.spoil(
        "UPDATE accounts SET debits = debits + %s WHERE account = %s",
        twice.amount,
        PAYER,
    )
    copy.spoil(
        "UPDATE credits SET credits = credits + %s WHERE account = %s AND shard = %s",
        twice.amount,
        MERCHANT,
        PARTITION,
    )
    said = found(copy, "I2", "I7")
    assert f"transfer {twice.transfer_id} has 2 rows" in said


def test_i2_a_record_that_is_posted_and_in_quarantine(copy: Copy) -> None:
    row = posted(copy)[-1]
    copy.spoil(
        "INSERT INTO quarantine (topic, partition, record_offset, reason, detail)"
        " VALUES (%s, %s, %s, 'BAD_FORM', '')",
        copy.topic,
        row.partition,
        row.record_offset,
    )
    said = found(copy, "I2", "I6", "I8")
    assert f"{copy.where(row)} is in quarantine and in the ledger" in said


def invent(copy: Copy, transfer_id: UUID, partition: int, offset: int) -> None:
    """A row of the ledger that no record stands behind; it moves no money."""
    copy.spoil(
        "INSERT INTO transfers SELECT %s, debit_account, credit_account, amount,"
        " debits_after, created_at_ms, %s, %s, verdict, currency, memo"
        " FROM transfers WHERE verdict <> 1",
        transfer_id,
        offset,
        partition,
    )


def test_i3_a_row_from_nowhere(copy: Copy) -> None:
    invented, beyond = uuid4(), copy.positions()[PARTITION] + 1_000
    invent(copy, invented, PARTITION, beyond)
    said = found(copy, "I3")
    assert f"ledger row {invented} claims {copy.topic}[{PARTITION}]@{beyond}" in said


def test_i3_a_row_that_claims_the_record_of_another(copy: Copy) -> None:
    invented, row = uuid4(), posted(copy)[0]
    invent(copy, invented, row.partition, row.record_offset)
    assert f"ledger row {invented} claims {copy.where(row)}" in found(copy, "I3")


def test_i3_a_row_from_a_partition_that_is_not_there(copy: Copy) -> None:
    invented = uuid4()
    invent(copy, invented, 99, 0)
    assert f"ledger row {invented} claims partition 99" in found(copy, "I3")


def test_i3_a_row_from_an_aborted_transaction(copy: Copy) -> None:
    offset = aborted_offset(copy)
    invent(copy, ABORTED, PARTITION, offset)
    said = found(copy, "I3")
    assert f"ledger row {ABORTED} claims {copy.topic}[{PARTITION}]@{offset}" in said


def test_i3_an_amount_that_is_not_the_records(copy: Copy) -> None:
    row = declined(copy)
    raise_amount = "UPDATE transfers SET amount = amount + 1 WHERE transfer_id = %s"
    copy.spoil(raise_amount, row.transfer_id)
    assert f"{copy.where(row)}: ledger has" in found(copy, "I3")


def test_i3_a_posted_amount_that_is_not_the_records(copy: Copy) -> None:
    row = posted(copy)[1]
    raise_amount = "UPDATE transfers SET amount = amount + 1 WHERE transfer_id = %s"
    copy.spoil(raise_amount, row.transfer_id)
    assert f"{copy.where(row)}: ledger has" in found(copy, "I3", "I4", "I7")


def test_i4_debits_that_no_transfer_explains(copy: Copy) -> None:
    copy.spoil("UPDATE accounts SET debits = debits + 1 WHERE account = %s", PAYER)
    said = found(copy, "I4")
    assert f"account {PAYER}: debits are" in said
    assert "currency EUR: debits" in said


def test_i4_credits_that_no_transfer_explains(copy: Copy) -> None:
    copy.spoil(
        "UPDATE credits SET credits = credits + 1 WHERE account = %s AND shard = %s",
        MERCHANT,
        PARTITION,
    )
    said = found(copy, "I4")
    assert f"account {MERCHANT}, shard {PARTITION}: credits are" in said
    assert "currency EUR: debits" in said


def test_i4_money_moved_without_a_transfer(copy: Copy) -> None:
    """Debits and credits are equal, so only the fold shows it."""
    copy.spoil("UPDATE accounts SET debits = debits + 5 WHERE account = %s", PAYER)
    copy.spoil("INSERT INTO credits VALUES (50, 0, 5)")
    said = found(copy, "I4")
    assert f"account {PAYER}: debits are" in said
    assert "account 50, shard 0: credits are 5" in said
    assert "currency" not in said


def test_i5_a_limit_below_what_is_used(copy: Copy) -> None:
    copy.spoil("UPDATE accounts SET credit_limit = 1 WHERE account = %s", PAYER)
    assert f"account {PAYER}: available is -" in found(copy, "I5", "I11")


def test_i5_a_posted_transfer_of_another_currency(copy: Copy) -> None:
    row = posted(copy)[1]
    copy.spoil(
        "UPDATE transfers SET currency = 'USD' WHERE transfer_id = %s", row.transfer_id
    )
    assert f"transfer {row.transfer_id} is posted: 100 USD" in found(
        copy, "I3", "I5", "I11"
    )


def test_i5_a_posted_transfer_to_its_own_account(copy: Copy) -> None:
    row = posted(copy)[1]
    copy.run("ALTER TABLE transfers DROP CONSTRAINT transfers_check")
    copy.spoil(
        "UPDATE transfers SET credit_account = debit_account WHERE transfer_id = %s",
        row.transfer_id,
    )
    said = found(copy, "I3", "I4", "I5", "I11")
    assert f"transfer {row.transfer_id} is posted: 100 EUR from 1 to 1" in said
