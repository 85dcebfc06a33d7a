"""The ledger is a function of the log: a replay builds it again, hash by hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from consumers.bank.audit.run import audit
from consumers.bank.replay.run import ReplayReport, replay
from consumers.bank.replay.settings import ReplaySettings
from local.platform import Platform
from local.platform.replayed import replay as replay_beside
from local.stack import Stack
from once import resources
from once.errors import Refused
from once.migrate import migrate
from tests.fix_platform import a_platform, change, emit, emit_changes, transfer
from tests.integration.kafka_admin import set_group_offsets
from tests.integration.raw import Foreign, Raw
from tests.integration.spoilt import a_copy
from tests.seeding import almighty

pytestmark = pytest.mark.stack

NEVER_PAID = 70


@pytest.fixture(scope="module")
def lived(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """What a small life has left; nobody is at work any more."""
    with a_platform(stack, tmp_path_factory.mktemp("lived")) as platform:
        live(platform)
        yield platform


def forget_accounts(platform: Platform) -> None:
    """No log has those of the fixture."""
    with almighty(platform) as connection:
        connection.execute("DELETE FROM account_changes")
        connection.execute("DELETE FROM accounts")


def live(platform: Platform) -> None:
    """Two workers, accounts that pay each other as they are opened, all kinds of
    records, and a worker that was killed."""
    forget_accounts(platform)
    quick = {"session_timeout_ms": 2000, "batch_records_max": 40}
    with platform.bank("one", **quick) as one, platform.bank("two", **quick) as two:
        for first in range(1, 61, 20):
            opened = range(first, first + 20)
            emit_changes(
                platform,
                *[change(n, currency="EUR", credit_limit=n * 10) for n in opened],
            )
            platform.wait_applied(platform.applied() + 1)
            ring = [(n, n % (first + 19) + 1) for n in opened]
            emit(platform, *[transfer(payer, payee, 9) for payer, payee in ring])
            emit(platform, *[transfer(payee, payer, payer) for payer, payee in ring])
            if first == 21:
                one.kill()
        emit_changes(platform, change(NEVER_PAID, currency="EUR", credit_limit=50))
        emit_changes(platform, change(3, status="frozen"), change(4, credit_limit=1))
        again = transfer(5, 6, 1)
        emit(platform, transfer(3, 6), transfer(4, 6, 40), again)
        emit(platform, transfer(NEVER_PAID, 6, 30))
        emit(platform, again, again.model_copy(update={"amount": 2}))
        with Foreign(platform) as foreign:
            foreign.send(
                Raw(b"1", b"garbage"), foreign.change(account=7, status="UNKNOWN")
            )
        platform.wait_applied(60 + 120 + 3 + 6 + 2)
        assert two.terminate() == 0
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


@contextmanager
def an_empty_ledger(platform: Platform) -> Iterator[ReplaySettings]:
    """A second one, and where a replay finds both."""
    name = f"{platform.dbname}-{uuid4().hex[:6]}"
    stack = platform.stack
    superuser = stack.conninfo(user="postgres", dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} OWNER migrator")
        connection.execute(create.format(sql.Identifier(name)))
        try:
            with psycopg.connect(stack.conninfo(user="migrator", dbname=name)) as owner:
                migrate(owner, resources.find("postgres/migrations"))
            yield ReplaySettings.model_validate(
                {
                    "conninfo": platform.conninfo("audit"),
                    "new_conninfo": stack.conninfo(user="bank", dbname=name),
                    "topic": platform.topic,
                    "results_topic": platform.results_topic,
                    "group": platform.group,
                    "bootstrap_servers": stack.endpoints.bootstrap_servers,
                    "registry_url": stack.endpoints.registry_url,
                }
            )
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def replayed(platform: Platform, **options: object) -> ReplayReport:
    with an_empty_ledger(platform) as settings:
        return replay(settings, **options)  # type: ignore[arg-type]


def test_the_same_log_makes_the_same_ledger(lived: Platform) -> None:
    report = replayed(lived)
    assert report.identical, report.differences
    assert report.records == 191
    assert report.rows["transfers"] == 124 and report.rows["batches"] > 20
    assert report.rows["quarantine"] == 2 and report.rows["accounts"] == 61


SPOILT = {
    "transfers": "UPDATE transfers SET memo = 'x' WHERE amount = 100",
    "accounts": "UPDATE accounts SET debits = debits + 1 WHERE account = 9",
    "account_changes": "DELETE FROM account_changes WHERE account = 9",
    "batches": "UPDATE batches SET hash = sha256('x')"
    " WHERE (partition, batch_number) = (1, 2)",
    "quarantine": "DELETE FROM quarantine WHERE reason = 'NOT_FRAMED'",
    "emitters": "DELETE FROM emitters WHERE (emitter, partition) ="
    " (SELECT emitter, partition FROM emitters ORDER BY 1, 2 LIMIT 1)",
}


@pytest.mark.parametrize("table", SPOILT)
def test_whatever_somebody_changed_in_the_first_one_differs(
    lived: Platform, table: str
) -> None:
    with a_copy(lived) as copy:
        copy.spoil(SPOILT[table])
        report = replayed(copy)
    assert not report.identical
    names = {line.partition(":")[0].partition("[")[0] for line in report.differences}
    assert names == {table}


def test_what_would_be_decided_otherwise_is_said(lived: Platform) -> None:
    report = replayed(lived, anew=True, limits={NEVER_PAID: 0})
    assert not report.identical
    declined = "POSTED -> DECLINED_INSUFFICIENT_FUNDS"
    assert report.otherwise[declined] >= 1
    assert any(
        f"was {declined.replace(' -> ', ', and would be ')}" in e
        for e in report.examples
    )


def test_accounts_that_were_opened_by_hand_are_in_no_log(platform: Platform) -> None:
    with pytest.raises(Refused, match="110 openings and changes of accounts were made"):
        replayed(platform)


def test_a_second_ledger_catches_up_and_takes_over(platform: Platform) -> None:
    """How a ledger moves to another server: the Bank stands still for the last bit."""
    forget_accounts(platform)
    quick = {"session_timeout_ms": 2000}
    with an_empty_ledger(platform) as settings:
        with platform.bank("old", **quick) as old:
            emit_changes(
                platform,
                *[change(n, currency="EUR", credit_limit=500) for n in (1, 101)],
            )
            platform.wait_applied(2)
            emit(platform, *[transfer(1, 101, 1) for _ in range(90)])
            platform.wait_applied(92)
            assert replay(settings).records == 92
            emit(platform, *[transfer(1, 101, 1) for _ in range(30)])
            platform.wait_applied(122)
            assert old.terminate() == 0
        report = replay(settings)
        assert report.identical, report.differences
        assert report.records == 30, "it goes on where it stood"

        set_group_offsets(platform, platform.published())
        new = settings.new_conninfo.get_secret_value()
        name = str(conninfo_to_dict(new)["dbname"])
        reading = platform.stack.conninfo(user="audit", dbname=name)
        with platform.bank("new", conninfo=new, **quick):
            emit(platform, *[transfer(101, 1, 1) for _ in range(5)])
            replace(platform.watch, conninfo=reading).wait_applied(127, 60)
        of_new = {"conninfo": SecretStr(reading)}
        audited = audit(platform.audit_settings().model_copy(update=of_new))
        assert audited.invariants_ok, audited.model_dump_json(indent=2)


def test_the_command_says_it_in_a_sentence(
    lived: Platform, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "replay.json"
    assert replay_beside(lived, ["--report", str(path)]) == 0
    assert "the same, row by row and hash by hash" in capfd.readouterr().out
    assert json.loads(path.read_text())["identical"] is True
