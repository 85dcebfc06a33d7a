"""An older copy of the ledger takes what was told to customers, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from local.platform import Platform
from tests.fix_platform import change, emit, emit_changes, transfer
from tests.integration.published import wait_for_results
from tests.integration.raw import Foreign, Raw

pytestmark = pytest.mark.stack

NEW_ACCOUNT = 500


@contextmanager
def a_backup(platform: Platform) -> Iterator[None]:
    """Taken now; the ledger is it again when the block ends."""
    superuser = platform.stack.conninfo(user="postgres", dbname="postgres")
    backup = f"backup-{platform.name}"
    with psycopg.connect(superuser, autocommit=True) as connection:

        def copy(source: str, target: str) -> None:
            connection.execute(
                f'CREATE DATABASE "{target}" TEMPLATE "{source}"'.encode()
            )

        copy(platform.dbname, backup)
        yield
        connection.execute(f'DROP DATABASE "{platform.dbname}" WITH (FORCE)'.encode())
        copy(backup, platform.dbname)
        connection.execute(f'DROP DATABASE "{backup}"'.encode())


def ledger(platform: Platform) -> list[tuple[object, ...]]:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT * FROM ledger ORDER BY partition, record_offset"
        return connection.execute(query).fetchall()


def balances(platform: Platform) -> list[tuple[object, ...]]:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT account, balance FROM balances WHERE balance <> 0 ORDER BY 1"
        return connection.execute(query).fetchall()


def accounts(platform: Platform) -> list[tuple[object, ...]]:
    """Every account, and every change of one, but when and in which epoch."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        now = "SELECT account, status, credit_limit FROM accounts ORDER BY 1"
        history = (
            "SELECT change_id, verdict, account, currency, status, credit_limit,"
            " reason, changed_by, partition, record_offset FROM account_changes"
            " ORDER BY partition, record_offset, account"
        )
        found = connection.execute(now).fetchall()
        return found + connection.execute(history).fetchall()


def live_on(platform: Platform) -> int:
    """Payments of every kind, decided by accounts that the backup does not have."""
    emit_changes(
        platform,
        change(NEW_ACCOUNT, currency="EUR", credit_limit=1_000_000),
        change(7, status="frozen"),
    )
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(12)
        assert bank.terminate() == 0
    repeated = transfer(1)
    emit(platform, *[transfer(n % 50 + 1) for n in range(200)], repeated)
    emit(platform, transfer(NEW_ACCOUNT), transfer(7), transfer(1, amount=10**12))
    emit(platform, repeated, transfer(2, NEW_ACCOUNT))
    with Foreign(platform) as foreign:
        foreign.send(Raw(b"1", b"garbage"), foreign.transfer(memo="a\0b"))
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(220)
        assert bank.terminate() == 0
    return 220


def test_a_restored_ledger_says_again_what_was_told(platform: Platform) -> None:
    emit(platform, *[transfer(n + 1) for n in range(10)])
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(10)
        assert bank.terminate() == 0
    with a_backup(platform):
        records = live_on(platform)
        told, money = ledger(platform), balances(platform)
        known = accounts(platform)
        results = len(wait_for_results(platform, records))

    with platform.bank("restored", restore=True, session_timeout_ms=2000) as bank:
        platform.wait_applied(records)
        assert "restored as told" in bank.text
        assert bank.terminate() == 0
    assert ledger(platform) == told
    assert balances(platform) == money
    assert accounts(platform) == known
    # Account 7 was open in the backup; what follows is decided by what was told since.
    emit(platform, transfer(7))
    with platform.bank("after", session_timeout_ms=2000) as bank:
        platform.wait_applied(records + 1)
        assert "refused" not in bank.text
    assert len(wait_for_results(platform, results + 1)) == results + 1
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
