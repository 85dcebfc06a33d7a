"""Every verdict on the real ledger, and the same one in the results topic, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from consumers.bank.rules import AMOUNT_MAX
from local.platform import Platform
from local.stack import Stack
from tests.fix_platform import (
    a_platform,
    balance,
    change,
    emit,
    emit_changes,
    transfer,
    verdict,
)
from tests.integration.published import wait_for_verdicts
from tests.integration.raw import Foreign, Raw, id_of, partition_of
from tests.seeding import almighty, seed_accounts

pytestmark = pytest.mark.stack

# Accounts beside those of the platform, each for one test or one kind of decline.
FROZEN, CLOSED, DOLLARS, RICH, POOR, NOBODY = 1001, 1002, 1003, 1004, 1005, 999_999
INT64_MAX = 2**63 - 1
FUNDS = "DECLINED_INSUFFICIENT_FUNDS"

# What the transfer says, and what the Bank must say; the first reason that holds wins.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "all is well": ({}, "POSTED"),
    "the largest amount": (
        {"debit_account": RICH, "amount": AMOUNT_MAX},
        "POSTED",
    ),
    "unknown payer": ({"debit_account": NOBODY}, "DECLINED_UNKNOWN_ACCOUNT"),
    "unknown payee": ({"credit_account": NOBODY}, "DECLINED_UNKNOWN_ACCOUNT"),
    "payer zero": ({"debit_account": 0}, "DECLINED_UNKNOWN_ACCOUNT"),
    "payee below zero": ({"credit_account": -1}, "DECLINED_UNKNOWN_ACCOUNT"),
    "frozen payer": ({"debit_account": FROZEN}, "DECLINED_ACCOUNT_FROZEN"),
    "frozen payee": ({"credit_account": FROZEN}, "DECLINED_ACCOUNT_FROZEN"),
    "closed payer": ({"debit_account": CLOSED}, "DECLINED_ACCOUNT_CLOSED"),
    "closed payee": ({"credit_account": CLOSED}, "DECLINED_ACCOUNT_CLOSED"),
    "frozen payer, closed payee": (
        {"debit_account": FROZEN, "credit_account": CLOSED},
        "DECLINED_ACCOUNT_CLOSED",
    ),
    "more than there is": (
        {"debit_account": POOR},
        FUNDS,
    ),
    "a currency of neither account": (
        {"currency": b"USD"},
        "DECLINED_CURRENCY_MISMATCH",
    ),
    "a currency in small letters": (
        {"currency": b"eur"},
        "DECLINED_CURRENCY_MISMATCH",
    ),
    "the payer's currency only": (
        {"credit_account": DOLLARS},
        "DECLINED_CURRENCY_MISMATCH",
    ),
    "the payee's currency only": (
        {"debit_account": DOLLARS},
        "DECLINED_CURRENCY_MISMATCH",
    ),
    "to itself": ({"credit_account": 1}, "DECLINED_SAME_ACCOUNT"),
    "to itself, unknown": (
        {"debit_account": NOBODY, "credit_account": NOBODY},
        "DECLINED_SAME_ACCOUNT",
    ),
    "nothing": ({"amount": 0}, "DECLINED_AMOUNT_OUT_OF_RANGE"),
    "less than nothing": ({"amount": -1}, "DECLINED_AMOUNT_OUT_OF_RANGE"),
    "a cent too much": (
        {"debit_account": RICH, "amount": AMOUNT_MAX + 1},
        "DECLINED_AMOUNT_OUT_OF_RANGE",
    ),
    "the largest number": (
        {"debit_account": RICH, "amount": INT64_MAX},
        "DECLINED_AMOUNT_OUT_OF_RANGE",
    ),
    "the smallest number": (
        {"debit_account": RICH, "amount": -INT64_MAX - 1},
        "DECLINED_AMOUNT_OUT_OF_RANGE",
    ),
}


@pytest.fixture(scope="module")
def at_work(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform whose Bank is running all the time; each test has its own accounts."""
    logs = tmp_path_factory.mktemp("verdicts")
    with a_platform(stack, logs) as platform:
        seed_accounts(platform, FROZEN, 1, 2 * AMOUNT_MAX, status="frozen")
        seed_accounts(platform, CLOSED, 1, 2 * AMOUNT_MAX, status="closed")
        seed_accounts(platform, DOLLARS, 1, 2 * AMOUNT_MAX, currency="USD")
        seed_accounts(platform, FROZEN, 4, 2 * AMOUNT_MAX)
        seed_accounts(platform, POOR, 1, credit_limit=0)
        with platform.bank(session_timeout_ms=2000):
            yield platform


def administer(platform: Platform, account: int, **asked: object) -> None:
    """What an administrator does: ask through the log, and wait for the verdict."""
    wanted = change(account, **asked)
    emit_changes(platform, wanted)
    said = wait_for_verdicts(platform, [wanted.change_id])
    assert said == ["CHANGED"]


@pytest.fixture(scope="module")
def foreign(at_work: Platform) -> Iterator[Foreign]:
    with Foreign(at_work) as foreign:
        yield foreign


def judged(platform: Platform, foreign: Foreign, *records: Raw) -> list[str]:
    """The published verdicts, after checking that the ledger has the same ones."""
    foreign.send(*records)
    ids = [id_of(raw) for raw in records]
    said = wait_for_verdicts(platform, ids)
    assert [verdict(platform, each) for each in ids] == said
    return said


def test_each_transfer_gets_the_verdict_of_the_rules(
    at_work: Platform, foreign: Foreign
) -> None:
    records = [foreign.transfer(**changed) for changed, _ in CASES.values()]
    said = dict(zip(CASES, judged(at_work, foreign, *records), strict=True))
    assert said == {name: expected for name, (_, expected) in CASES.items()}


def test_a_declined_transfer_moves_nothing(at_work: Platform, foreign: Foreign) -> None:
    seed_accounts(at_work, 1101, 2, 0)
    record = foreign.transfer(debit_account=1101, credit_account=1102)
    assert judged(at_work, foreign, record) == [FUNDS]
    assert (balance(at_work, 1101), balance(at_work, 1102)) == (0, 0)


def test_the_limit_is_kept_to_the_cent(at_work: Platform, foreign: Foreign) -> None:
    seed_accounts(at_work, 1111, 1, credit_limit=1_000)
    amounts = {600: "POSTED", 401: FUNDS, 400: "POSTED", 1: FUNDS}
    records = [foreign.transfer(debit_account=1111, amount=each) for each in amounts]
    assert judged(at_work, foreign, *records) == list(amounts.values())
    assert balance(at_work, 1111) == -1_000


def test_a_credit_from_another_partition_pays_for_a_later_debit(
    at_work: Platform, foreign: Foreign
) -> None:
    poor = 1121
    seed_accounts(at_work, poor, 1, credit_limit=0)
    giver = next(a for a in range(1, 100) if partition_of(a) != partition_of(poor))
    spend = [foreign.transfer(debit_account=poor, amount=70) for _ in range(3)]
    gift = foreign.transfer(debit_account=giver, credit_account=poor, amount=100)
    steps = [judged(at_work, foreign, each)[0] for each in (spend[0], gift, *spend[1:])]
    assert steps == [FUNDS, "POSTED", "POSTED", FUNDS]
    assert balance(at_work, poor) == 30


def test_in_one_partition_the_order_of_the_log_decides(
    at_work: Platform, foreign: Foreign
) -> None:
    poor = 1131
    seed_accounts(at_work, poor, 1, credit_limit=0)
    giver = next(a for a in range(1, 100) if partition_of(a) == partition_of(poor))
    early, late = (foreign.transfer(debit_account=poor, amount=9) for _ in range(2))
    gift = foreign.transfer(debit_account=giver, credit_account=poor, amount=9)
    said = judged(at_work, foreign, early, gift, late)
    assert said == [FUNDS, "POSTED", "POSTED"]


@pytest.mark.parametrize("side", ["debit_account", "credit_account"])
def test_freezing_an_account_works_at_once_on_a_running_worker(
    at_work: Platform, foreign: Foreign, side: str
) -> None:
    account = 1141 if side == "debit_account" else 1142
    seed_accounts(at_work, account, 1, credit_limit=1_000)

    def pay() -> str:
        return judged(at_work, foreign, foreign.transfer(**{side: account}))[0]

    said = [pay()]
    for status in ("frozen", "open"):
        administer(at_work, account, status=status)
        said.append(pay())
    assert said == ["POSTED", "DECLINED_ACCOUNT_FROZEN", "POSTED"]


def test_closing_an_account_works_at_once_on_a_running_worker(
    at_work: Platform, foreign: Foreign
) -> None:
    seed_accounts(at_work, 1143, 1, credit_limit=0)

    def pay(**fields: int) -> str:
        return judged(at_work, foreign, foreign.transfer(**fields))[0]

    both: list[dict[str, int]] = [{"credit_account": 1143}, {"debit_account": 1143}]
    assert [pay(**each) for each in both] == ["POSTED"] * 2
    administer(at_work, 1143, status="closed")
    assert [pay(**each) for each in both] == ["DECLINED_ACCOUNT_CLOSED"] * 2


def test_a_new_limit_works_at_once_on_a_running_worker(
    at_work: Platform, foreign: Foreign
) -> None:
    seed_accounts(at_work, 1151, 1, credit_limit=1_000)

    def pay() -> str:
        record = foreign.transfer(debit_account=1151, amount=600)
        return judged(at_work, foreign, record)[0]

    said = [pay(), pay()]
    for limit in (1_200, 1_300, 5_000):
        administer(at_work, 1151, credit_limit=limit)
        said.append(pay())
    assert said == ["POSTED", FUNDS, "POSTED", FUNDS, "POSTED"]


def test_an_account_opened_later_is_found_at_once(
    at_work: Platform, foreign: Foreign
) -> None:
    def pay() -> str:
        record = foreign.transfer(credit_account=1161)
        return judged(at_work, foreign, record)[0]

    before = pay()
    administer(at_work, 1161, currency="EUR")
    assert (before, pay()) == ("DECLINED_UNKNOWN_ACCOUNT", "POSTED")


def test_transfers_of_a_store_are_judged_alike(at_work: Platform) -> None:
    lines = [transfer(), transfer(payee=NOBODY), transfer(payer=POOR)]
    emit(at_work, *lines)
    said = wait_for_verdicts(at_work, [line.transfer_id for line in lines])
    assert said == ["POSTED", "DECLINED_UNKNOWN_ACCOUNT", FUNDS]


def test_the_audit_agrees_with_whatever_was_judged_so_far(
    at_work: Platform, foreign: Foreign
) -> None:
    judged(at_work, foreign, foreign.transfer())
    report = at_work.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_sums_that_would_overflow_are_declined_and_can_be_added_up(
    platform: Platform,
) -> None:
    """A turnover of 4 * 10^18: nine million of the largest payments are below it."""
    seed_accounts(platform, 1201, 2, credit_limit=10**18)
    with almighty(platform) as connection:
        spend = "UPDATE accounts SET debits = %s WHERE account = 1201"
        connection.execute(spend, (4 * 10**18 + 1,))
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        connection.execute("INSERT INTO credits VALUES (1201, 0, 5000000000000000000)")
    with Foreign(platform) as foreign, platform.bank(session_timeout_ms=2000):
        spent = foreign.transfer(debit_account=1201, credit_account=1202)
        assert judged(platform, foreign, spent) == ["DECLINED_AMOUNT_OUT_OF_RANGE"]
    assert balance(platform, 1201) == 10**18 - 1
    with (
        almighty(platform) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(
            "INSERT INTO accounts (account, currency, credit_limit)"
            " VALUES (1203, 'EUR', 1000000000000000001)"
        )
