"""The audit judges every verdict by what its decider saw (I11): it names one that was
wrong, and none of those that workers give who share poor accounts."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest

from consumers.bank.remembered import Remembered
from local.platform import Platform
from local.processes.waiting import wait_until
from producers.store.account_changes import AccountChange
from tests.fix_platform import CREDIT_LIMIT, change, emit, emit_changes, transfer
from tests.integration.posters import Batches, a_poster, post
from tests.integration.raw import Foreign, partition_of
from tests.integration.spoilt import PAYER, Copy, broken, declined, found, posted
from tests.seeding import seed_accounts

pytestmark = pytest.mark.stack

POOR = range(1001, 1031)


def history(copy: Copy, account: int, status: str, limit: int) -> None:
    """Its history says this of all that was decided, and the truth of later times."""
    copy.spoil("UPDATE accounts_epoch SET by_hand_until = 1000")
    copy.spoil(
        "UPDATE account_changes SET status = %s, credit_limit = %s WHERE account = %s",
        status,
        limit,
        account,
    )
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, currency, status, credit_limit,"
        " changed_by) SELECT account, 1000, currency, status, credit_limit, 'a test'"
        " FROM accounts WHERE account = %s",
        account,
    )


def test_one_that_was_approved_while_its_payer_was_frozen(copy: Copy) -> None:
    history(copy, PAYER, "frozen", CREDIT_LIMIT)
    said = found(copy, "I11").splitlines()
    wrong = "is POSTED, but DECLINED_ACCOUNT_FROZEN was right"
    assert said == [f"{copy.where(row)} {wrong}" for row in posted(copy)]


def test_one_that_was_approved_without_cover_though_it_has_some_now(copy: Copy) -> None:
    first, *rest = posted(copy)
    history(copy, PAYER, "open", first.amount)
    said = found(copy, "I11").splitlines()
    assert [line.partition(" is ")[0] for line in said] == [*map(copy.where, rest)]
    assert f"account {PAYER} had 0 available, and {rest[0].amount} was asked" in said[0]


def test_one_that_was_declined_without_a_reason(copy: Copy) -> None:
    row = declined(copy)
    copy.spoil("UPDATE accounts_epoch SET by_hand_until = 1000")
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, currency, status, credit_limit,"
        " changed_by) VALUES (%s, 0, 'EUR', 'open', 0, 'a test')",
        row.credit_account,
    )
    copy.spoil(
        "INSERT INTO account_changes (account, epoch, currency, status, credit_limit,"
        " changed_by) VALUES (%s, 1000, 'EUR', 'removed', 0, 'a test')",
        row.credit_account,
    )
    assert found(copy, "I11") == (
        f"{copy.where(row)} is DECLINED_UNKNOWN_ACCOUNT, but POSTED or a decline for "
        "money was right"
    )


def test_an_account_that_was_changed_behind_its_triggers(copy: Copy) -> None:
    copy.spoil("UPDATE accounts SET status = 'frozen' WHERE account = %s", PAYER)
    assert f"account {PAYER} is now frozen, with limit" in found(copy, "I11")


@pytest.mark.parametrize(
    "trigger, table",
    [
        ("not_by_hand", "accounts"),
        ("no_truncation", "accounts"),
        ("follow", "account_changes"),
    ],
)
def test_a_trigger_of_accounts_that_is_off(
    copy: Copy, trigger: str, table: str
) -> None:
    copy.run(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    assert f"trigger {trigger} of table {table} is missing, sw" in found(copy, "I9")


def test_verdicts_of_which_nothing_was_kept_are_counted(copy: Copy) -> None:
    copy.run("ALTER TABLE decisions DISABLE TRIGGER immutable; TRUNCATE decisions;")
    copy.run("ALTER TABLE decisions ENABLE TRIGGER immutable")
    report = copy.audit()
    assert report.invariants_ok and report.invariants["I11"].checked == 0
    (note,) = [note for note in report.notes if "I11" in note]
    assert note.startswith(f"of {report.posted + report.declined} verdicts it was not")


def test_a_worker_that_would_decline_by_what_it_remembers_is_found_out(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two partitions, two workers; one pays the other's poor customer meanwhile."""
    poor = next(n for n in POOR if partition_of(n) == 0)
    rich = next(n for n in range(1, 100) if partition_of(n) == 1)
    seed_accounts(platform, poor, 1, 5)
    batches = Batches(platform)
    with Foreign(platform) as foreign:
        small, gift, large = (
            foreign.transfer(debit_account=payer, credit_account=payee, amount=amount)
            for payer, payee, amount in (
                (poor, 101, 5),
                (rich, poor, 50),
                (poor, 101, 40),
            )
        )
        foreign.send(small, large, partition=0)
        foreign.send(gift, partition=1)
    with a_poster(platform, [0]) as worker, a_poster(platform, [1]) as other:
        assert post(worker, batches.slice(0, 0, small)) == [[1]]
        assert post(other, batches.slice(1, 0, gift)) == [[1]]
        monkeypatch.setattr(Remembered, "look_at", lambda self, numbers: None)
        assert post(worker, batches.slice(0, 1, large)) == [[5]], "the fault is there"
    said = broken(platform.audit())
    assert set(said) - {"I8"} == {"I11"}
    assert said["I11"] == (
        f"{platform.topic}[0]@1 is DECLINED_INSUFFICIENT_FUNDS, but account {poor} had "
        "50 available, and 40 was asked for"
    )


def test_workers_that_share_poor_accounts_and_changes_meanwhile_are_right(
    platform: Platform, tmp_path: Path
) -> None:
    """Whether a payment is covered depends on who was paid just before, elsewhere."""
    chance = random.Random(1)
    seed_accounts(platform, POOR.start, len(POOR), 20)
    lines = [
        transfer(payer, payee, chance.randint(1, 40))
        for payer, payee in (chance.sample(POOR, 2) for _ in range(9_000))
    ]
    settings = {"batch_records_max": 100, "session_timeout_ms": 2000}
    with platform.bank("one", **settings) as one, platform.bank("two", **settings):
        for at in range(0, len(lines), 1_000):
            emit(platform, *lines[at : at + 1_000])
            emit_changes(platform, *changes(chance))
            if at == 4_000:
                one.kill()
        platform.wait_applied(len(lines) + 27, timeout_seconds=120)
        wait_until(
            lambda: set(broken(platform.audit())) == set(),
            what="the last results to be published",
            timeout_seconds=30,
        )
        report = platform.audit()
    assert report.invariants["I11"].checked == len(lines) + 27
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute("SELECT verdict, count(*) FROM transfers GROUP BY 1")
        counts: dict[int, int] = dict(rows.fetchall())
    assert min(counts[1], counts[5], counts[3]) > 50, counts


def changes(chance: random.Random) -> list[AccountChange]:
    """Freeze one, open one, and give one another limit, while the Bank is at work."""
    asked: list[dict[str, object]] = [
        {"status": "frozen"},
        {"status": "open"},
        {"credit_limit": 60},
    ]
    return [change(chance.choice(POOR), **each) for each in asked]
