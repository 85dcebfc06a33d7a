"""The audit follows accounts through the log, too: each planted wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from local.platform import Platform
from local.stack import Stack
from tests.fix_platform import a_platform, change, emit, emit_changes, transfer
from tests.integration.raw import Foreign
from tests.integration.spoilt import Copy, a_copy, broken, found

pytestmark = pytest.mark.stack

ACCOUNT, EMPTY = 801, 802


@pytest.fixture(scope="module")
def lived(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An account that was opened, has paid, was refused a lower limit, and frozen."""
    with a_platform(stack, tmp_path_factory.mktemp("lived")) as platform:
        with platform.bank(session_timeout_ms=2000) as bank, Foreign(platform) as other:
            emit_changes(
                platform,
                change(ACCOUNT, currency="EUR", credit_limit=500),
                change(EMPTY, currency="EUR"),
            )
            other.send(other.change(account=803, currency=b"EUR"))
            platform.wait_applied(3)
            emit(platform, transfer(ACCOUNT, 101, 300))
            emit_changes(
                platform,
                change(ACCOUNT, credit_limit=299),
                change(ACCOUNT, status="closed"),
                change(EMPTY, status="closed"),
                change(ACCOUNT, status="frozen"),
            )
            emit(platform, transfer(ACCOUNT, 101, 1))
            platform.wait_applied(9)
            assert bank.terminate() == 0
        assert broken(platform.audit()) == {}
        yield platform


@pytest.fixture
def copy(lived: Platform) -> Iterator[Copy]:
    """A copy of it, to plant violations in."""
    with a_copy(lived) as copy:
        yield copy


def test_changes_are_counted_and_judged(lived: Platform) -> None:
    report = lived.audit()
    assert (report.posted, report.declined, report.changed) == (1, 3, 5)
    assert report.invariants["I11"].checked == 9
    assert not [note for note in report.notes if "I11" in note]


def test_a_change_that_is_in_no_row(copy: Copy) -> None:
    copy.spoil("DELETE FROM account_changes WHERE account = 803")
    said = found(copy, "I1", "I6", "I8", "I11")
    assert "changes an account, and is in no row" in said
    assert "account 803 is now open" in said


def test_a_row_that_says_something_else_than_its_record(copy: Copy) -> None:
    copy.spoil(
        "UPDATE account_changes SET changed_by = 'eve' WHERE account = %s"
        " AND verdict = 12 AND status = 'frozen'",
        ACCOUNT,
    )
    assert "'eve'" in found(copy, "I3")


def test_a_row_that_claims_a_record_that_is_none(copy: Copy) -> None:
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, change_id, currency, status,"
        " credit_limit, changed_by, created_at_ms, partition, record_offset)"
        " SELECT 804, epoch, %s, 'EUR', 'open', 0, 'eve', 0, 0, 4711"
        " FROM accounts_epoch",
        uuid4(),
    )
    copy.spoil("INSERT INTO accounts (account, currency) VALUES (804, 'EUR')")
    assert "@4711, where no committed record of that id is" in found(copy, "I3")


def test_an_account_that_was_changed_by_hand_meanwhile(copy: Copy) -> None:
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, currency, status, credit_limit,"
        " changed_by) SELECT %s, epoch, 'EUR', 'open', 9, 'eve' FROM accounts_epoch",
        EMPTY,
    )
    copy.spoil(
        "UPDATE accounts SET status = 'open', credit_limit = 9 WHERE account = %s",
        EMPTY,
    )
    said = found(copy, "I3")
    assert f"account {EMPTY} was changed in epoch" in said
    assert "and no record asked for it" in said


def test_an_account_that_was_opened_by_hand_and_dated_back(copy: Copy) -> None:
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, currency, status, credit_limit,"
        " changed_by) VALUES (805, 1, 'EUR', 'open', 1000000, 'eve')"
    )
    copy.spoil(
        "INSERT INTO accounts (account, currency, credit_limit)"
        " VALUES (805, 'EUR', 1000000)"
    )
    assert "account 805 was changed in epoch 1, and no record" in found(copy, "I3")


def test_a_decline_that_left_the_account_otherwise(copy: Copy) -> None:
    copy.spoil(
        "UPDATE account_changes SET credit_limit = 1"
        " WHERE account = %s AND verdict = 5",
        ACCOUNT,
    )
    assert "it is ('EUR', 'open', 1), and should be" in found(copy, "I11")


@pytest.mark.parametrize("verdict, other", [(5, 14), (14, 5)])
def test_a_decline_for_money_of_the_other_kind(
    copy: Copy, verdict: int, other: int
) -> None:
    copy.spoil(
        "UPDATE account_changes SET verdict = %s WHERE account = %s AND verdict = %s",
        other,
        ACCOUNT,
        verdict,
    )
    assert "but CHANGED was right" in found(copy, "I6", "I8", "I11")


def test_a_guard_that_guards_nothing_any_more(copy: Copy) -> None:
    copy.run(
        "CREATE OR REPLACE FUNCTION refuse_by_hand() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NULL; END $$"
    )
    said = found(copy, "I9")
    assert "trigger not_by_hand of table accounts is missing" in said
    assert "trigger no_truncation of table accounts is missing" in said


def test_an_opening_that_was_declined_without_a_reason(copy: Copy) -> None:
    copy.spoil("UPDATE account_changes SET verdict = 13 WHERE account = 803")
    copy.spoil("DELETE FROM accounts WHERE account = 803")
    said = found(copy, "I6", "I8", "I11")
    assert "is DECLINED_ACCOUNT_EXISTS, but CHANGED was right" in said


@pytest.mark.parametrize("verdict", [5, 14])
def test_a_change_that_was_let_through_against_the_money(
    copy: Copy, verdict: int
) -> None:
    """A limit below what is used, and a closing with money on the account."""
    copy.spoil(
        "UPDATE account_changes SET verdict = 12,"
        " status = coalesce(new_status, status),"
        " credit_limit = coalesce(new_credit_limit, credit_limit)"
        " WHERE account = %s AND verdict = %s",
        ACCOUNT,
        verdict,
    )
    said = broken(copy.audit())
    assert {"I6", "I8", "I11"} <= set(said)
    assert f"is CHANGED, but account {ACCOUNT} had -" in said["I11"]


def test_a_closing_that_was_refused_though_nothing_was_left(copy: Copy) -> None:
    copy.spoil(
        "UPDATE account_changes SET verdict = 14, status = 'open' WHERE account = %s"
        " AND new_status = 'closed'",
        EMPTY,
    )
    copy.spoil("UPDATE accounts SET status = 'open' WHERE account = %s", EMPTY)
    said = found(copy, "I6", "I8", "I11")
    assert f"is DECLINED_ACCOUNT_NOT_EMPTY, but account {EMPTY} had 0" in said


def test_a_freeze_that_is_said_to_be_older_than_it_is(copy: Copy) -> None:
    copy.spoil(
        "UPDATE account_changes SET epoch = 2 WHERE account = %s AND verdict = 12"
        " AND status = 'frozen'",
        ACCOUNT,
    )
    assert "took effect in epoch 2, and was decided in" in found(copy, "I11")


def test_a_change_that_leaves_something_else_than_was_asked_for(copy: Copy) -> None:
    copy.spoil("UPDATE account_changes SET credit_limit = 7 WHERE account = 803")
    copy.spoil("UPDATE accounts SET credit_limit = 7 WHERE account = 803")
    said = found(copy, "I11")
    assert "it is ('EUR', 'open', 7), and should be ('EUR', 'open', 0)" in said


def test_changes_of_one_account_in_another_order_than_the_logs(copy: Copy) -> None:
    copy.run("ALTER TABLE account_changes ALTER COLUMN change SET GENERATED BY DEFAULT")
    copy.spoil(
        "UPDATE account_changes SET change = 1000 WHERE account = %s"
        " AND verdict = 12 AND status = 'open'",
        ACCOUNT,
    )
    said = broken(copy.audit())
    assert "was decided after offset" in said["I7"]
