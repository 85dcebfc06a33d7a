"""Accounts are opened and changed through the log, in one order with their debits."""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from consumers.bank.observe import Point
from local.platform import Platform
from local.platform.environments import for_program
from producers.store.account_changes import AccountChange
from tests.fix_platform import balance, change, emit, emit_changes, transfer, verdict
from tests.integration.published import wait_for_results
from tests.integration.raw import Foreign, Raw, partition_of
from tests.integration.test_crash_points import Cut, a_session

pytestmark = pytest.mark.stack


def history(platform: Platform, account: int) -> list[tuple[object, ...]]:
    """Verdict, and how the account stood afterwards, of all that was asked for."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        return connection.execute(
            "SELECT name, currency, status, credit_limit FROM account_changes"
            " JOIN verdicts USING (verdict) WHERE account = %s ORDER BY change",
            (account,),
        ).fetchall()


def assert_sound(platform: Platform) -> None:
    """The audit finds nothing, and has judged every verdict."""
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    decided = report.posted + report.declined + report.changed
    assert report.invariants["I11"].checked == decided


def verdicts(platform: Platform, *changes: AccountChange) -> list[str]:
    """What became of these changes, from the history."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows: dict[UUID, str] = dict(
            connection.execute(
                "SELECT change_id, name FROM account_changes"
                " JOIN verdicts USING (verdict)"
            ).fetchall()
        )
    return [rows[each.change_id] for each in changes]


def test_an_account_lives_from_its_opening_to_its_closing(platform: Platform) -> None:
    opened = change(501, must_be_new=True, currency="EUR", credit_limit=1_000)
    lives = [
        opened,
        change(501, credit_limit=2_000),
        change(501, status="frozen"),
        change(501, status="open"),
        change(501, status="closed"),
        change(501, status="open"),
    ]
    with platform.bank(session_timeout_ms=2000):
        emit_changes(platform, *lives)
        platform.wait_applied(len(lives))
    assert history(platform, 501) == [
        ("CHANGED", "EUR", "open", 1_000),
        ("CHANGED", "EUR", "open", 2_000),
        ("CHANGED", "EUR", "frozen", 2_000),
        ("CHANGED", "EUR", "open", 2_000),
        ("CHANGED", "EUR", "closed", 2_000),
        ("DECLINED_ACCOUNT_CLOSED", "EUR", "closed", 2_000),
    ]
    assert_sound(platform)
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT reason, changed_by, partition, created_at_ms FROM account_changes"
            " WHERE change_id = %s",
            (opened.change_id,),
        ).fetchone()
    assert row == ("a test", "ada", partition_of(501), opened.created_at_ms)


def test_a_change_counts_from_its_place_in_the_log_on(platform: Platform) -> None:
    """All in one poll: the Bank cuts it where the kind changes."""
    payer = 601
    before, paid, frozen, again = (transfer(payer, 101, 60) for _ in range(4))
    emit(platform, before)
    emit_changes(platform, change(payer, currency="EUR", credit_limit=100))
    emit(platform, paid)
    emit_changes(platform, change(payer, status="frozen"))
    emit(platform, frozen)
    emit_changes(platform, change(payer, status="open", credit_limit=120))
    emit(platform, again)
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(7)
    said = [
        verdict(platform, each.transfer_id) for each in (before, paid, frozen, again)
    ]
    assert said == [
        "DECLINED_UNKNOWN_ACCOUNT",
        "POSTED",
        "DECLINED_ACCOUNT_FROZEN",
        "POSTED",
    ]
    assert balance(platform, payer) == -120
    assert_sound(platform)


def test_what_is_asked_in_vain_is_declined_for_its_reason(platform: Platform) -> None:
    emit_changes(platform, change(1, currency="EUR", credit_limit=500_000))
    emit(platform, transfer(1, 101, 400_000))
    asked = {
        change(1, must_be_new=True, currency="EUR"): "DECLINED_ACCOUNT_EXISTS",
        change(1, currency="USD", credit_limit=9): "DECLINED_CURRENCY_MISMATCH",
        change(1, credit_limit=399_999): "DECLINED_INSUFFICIENT_FUNDS",
        change(1, status="closed"): "DECLINED_ACCOUNT_NOT_EMPTY",
        change(101, status="closed"): "DECLINED_ACCOUNT_NOT_EMPTY",
        change(777, status="frozen"): "DECLINED_UNKNOWN_ACCOUNT",
        change(1, credit_limit=400_000): "CHANGED",
    }
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(2)
        emit_changes(platform, *asked)
        platform.wait_applied(2 + len(asked))
    assert verdicts(platform, *asked) == [*asked.values()]
    assert_sound(platform)


def test_a_change_that_is_sent_again_has_one_effect(platform: Platform) -> None:
    first, later = change(1, credit_limit=7), change(1, credit_limit=8)
    other = later.model_copy(update={"change_id": first.change_id})
    with platform.bank(session_timeout_ms=2000):
        emit_changes(platform, first, later)
        emit_changes(platform, first, other)
        platform.wait_applied(4)
        results = wait_for_results(platform, 4)
    assert [row[3] for row in history(platform, 1)] == [1_000_000, 7, 8]
    mine = [each for each in results if each.transfer_id == first.change_id]
    mine.sort(key=lambda result: result.offset)
    assert [each.verdict for each in mine] == [
        "CHANGED",
        "EXISTS",
        "EXISTS_WITH_DIFFERENT_PAYLOAD",
    ]
    assert UUID(int=0) not in {each.transfer_id for each in results}
    assert_sound(platform)


def test_results_of_changes_that_were_not_published_are_recalled(
    platform: Platform,
) -> None:
    emit_changes(platform, change(701, currency="EUR"), change(701, status="frozen"))
    emit(platform, transfer(1))
    with a_session(platform) as (session, observer):
        observer.dies_at = Point.COMMITTED
        with pytest.raises(Cut):
            for _ in range(1_000):
                session.step()
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(3)
        results = wait_for_results(platform, 3)
    assert sorted(each.verdict for each in results) == ["CHANGED", "CHANGED", "POSTED"]
    assert_sound(platform)


def test_an_account_is_opened_and_frozen_over_http(platform: Platform) -> None:
    with (
        platform.bank(session_timeout_ms=2000),
        platform.store_api() as store,
        httpx.Client(base_url=store.url(), timeout=30) as http,
    ):
        whole = {"currency": "EUR", "credit_limit": 500, "reason": "a new customer"}
        opened = http.put("/v1/accounts/901?wait=20", json=whole)
        assert (opened.status_code, opened.json()["state"]) == (200, "changed")
        once_more = http.put(
            "/v1/accounts/901?wait=20", json=whole, headers={"If-None-Match": "*"}
        )
        assert once_more.json()["state"] == "declined"
        assert once_more.json()["reason"] == "ACCOUNT_EXISTS"

        def pay() -> dict[str, str]:
            payment = {"debit_account": 901, "credit_account": 101, "amount": 5}
            path = f"/v1/transfers/{uuid4()}?wait=20"
            answer = http.put(path, json={**payment, "currency": "EUR"})
            found: dict[str, str] = answer.json()
            return found

        assert pay()["state"] == "posted"
        frozen = http.patch("/v1/accounts/901?wait=20", json={"status": "frozen"})
        assert frozen.json()["state"] == "changed"
        assert pay()["reason"] == "ACCOUNT_FROZEN"
        place = f"/v1/account-changes/{frozen.json()['change_id']}"
        assert http.get(place).json() == frozen.json()
        platform.wait_applied(5)
    assert history(platform, 901)[-1] == ("CHANGED", "EUR", "frozen", 500)
    assert_sound(platform)


def command(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the Store."""
    words = ["producers.store", *arguments]
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=for_program(words, {**os.environ, **platform.environment()}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_commands_open_and_change_accounts_and_hear_the_verdict(
    platform: Platform,
) -> None:
    opening = ["open-accounts", "--first", "96", "--count", "20", "--reason", "a try"]
    without = command(platform, *opening, "--wait", "2")
    assert without.returncode == 1
    assert "20 not answered within 2 s: is a Bank running" in without.stderr
    with platform.bank(session_timeout_ms=2000):
        opened = command(platform, *opening)
        assert opened.stdout == "opened 0 accounts, 20 were there\n"
        frozen = command(
            platform, "change-account", "111", "--status", "frozen", "--by", "ada"
        )
        assert (frozen.returncode, frozen.stderr) == (0, "")
        assert frozen.stdout.startswith("account 111: CHANGED, change ")
        nobody = command(platform, "change-account", "9999", "--status", "open")
        assert nobody.returncode == 1
        assert "account 9999: DECLINED_UNKNOWN_ACCOUNT" in nobody.stdout
        wrong = command(platform, "change-account", "111", "--status", "locked")
        assert wrong.returncode == 2 and "status" in wrong.stderr
        platform.wait_applied(42)
    assert history(platform, 111)[-1] == ("CHANGED", "EUR", "frozen", 0)
    assert_sound(platform)


def test_a_strangers_change_that_is_none_is_set_aside_with_its_reason(
    platform: Platform,
) -> None:
    """Between others, in one poll: each has its own verdict."""
    with Foreign(platform) as foreign:
        good = foreign.change(account=1, credit_limit=5)
        wrong_key = Raw(b"2", good.value)
        torn = Raw(b"1", (good.value or b"")[:-3])
        longer = Raw(b"1", (good.value or b"") + b"\x00")
        bad_form = foreign.change(account=1, status="UNKNOWN")
        paid = foreign.transfer(amount=5)
        offsets = foreign.send(
            good, wrong_key, torn, paid, longer, bad_form, partition=partition_of(1)
        )
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(6)
        results = {each.offset: each for each in wait_for_results(platform, 6)}
    assert [results[offset].verdict for offset in offsets] == [
        "CHANGED",
        "QUARANTINED",
        "QUARANTINED",
        "POSTED",
        "QUARANTINED",
        "QUARANTINED",
    ]
    assert results[offsets[1]].transfer_id == results[offsets[0]].transfer_id
    with psycopg.connect(platform.conninfo("audit")) as connection:
        said = connection.execute(
            "SELECT reason, detail FROM quarantine ORDER BY record_offset"
        ).fetchall()
    reasons = ["KEY_MISMATCH", "BAD_BYTES", "BAD_BYTES", "BAD_FORM"]
    assert [reason for reason, _ in said] == reasons
    assert said[0][1].startswith("key b'2' is not account 1")
    assert_sound(platform)
