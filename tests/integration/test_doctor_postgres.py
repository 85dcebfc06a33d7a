"""`once doctor` names what in Postgres bends the promise, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from consumers.bank.database import connect
from local.platform import Platform
from once.doctor import postgres
from once.doctor.postgres import check_postgres
from once.doctor.report import Finding, Level
from once.errors import Refused, Retriable
from tests.integration.doctoring import doctor
from tests.integration.pooler import a_pooler

pytestmark = pytest.mark.stack


def examined(platform: Platform, role: str = "migrator") -> list[Finding]:
    found = check_postgres(platform.conninfo(role))
    return [each for each in found if each.level is not Level.GOOD]


@contextmanager
def changed(platform: Platform, user: str, there: str, back: str) -> Iterator[None]:
    """Something in the ledger's database, and back again."""
    conninfo = platform.stack.conninfo(user=user, dbname=platform.dbname)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(there.encode())
        try:
            yield
        finally:
            connection.execute(back.encode())


@pytest.mark.parametrize("role", ["migrator", "audit", "bank"])
def test_any_role_may_look(whole: Platform, role: str) -> None:
    assert examined(whole, role) == []


@pytest.mark.parametrize(
    ("setting", "value", "level"),
    [
        ("client_encoding", "latin1", Level.REFUSED),
        ("default_transaction_isolation", "repeatable read", Level.REFUSED),
        ("synchronous_commit", "local", Level.REFUSED),
        ("session_replication_role", "replica", Level.REFUSED),
        ("statement_timeout", "5s", Level.WARNING),
        ("idle_session_timeout", "60000", Level.WARNING),
    ],
)
def test_what_waits_for_a_role_or_in_a_database_is_found(
    whole: Platform, setting: str, value: str, level: Level
) -> None:
    database = f'"{whole.dbname}"'
    for target, whose in (
        (f"ROLE bank IN DATABASE {database}", f"role bank in database {database}"),
        (f"DATABASE {database}", f"database {database}"),
    ):
        there = f"ALTER {target} SET {setting} = '{value}'"
        with changed(whole, "postgres", there, f"ALTER {target} RESET {setting}"):
            bad = {each.check: each for each in examined(whole)}
        finding = bad[f"{setting} of {whose}"]
        assert finding.level is level
        assert finding.cure == f"ALTER {target} RESET {setting}"


def test_a_database_in_which_nothing_can_be_written_is_no_primary(
    whole: Platform,
) -> None:
    target = f'DATABASE "{whole.dbname}"'
    there = f"ALTER {target} SET default_transaction_read_only = on"
    back = f"ALTER {target} RESET default_transaction_read_only"
    with changed(whole, "postgres", there, back):
        status, bad = doctor(whole)
    assert status == 78
    assert list(bad) == ["Postgres"]
    assert "session is read-only" in bad["Postgres"]["found"]


def test_what_is_harmless_is_no_finding(whole: Platform) -> None:
    target = f'ROLE bank IN DATABASE "{whole.dbname}"'
    for setting in ("statement_timeout = 0", "client_encoding = 'utf-8'"):
        there = f"ALTER {target} SET {setting}"
        with changed(whole, "postgres", there, f"ALTER {target} RESET ALL"):
            assert examined(whole) == []


def test_a_ledger_without_open_accounts_is_a_warning(whole: Platform) -> None:
    with changed(
        whole,
        "postgres",
        "SET session_replication_role = replica; UPDATE accounts SET status = 'frozen'",
        "SET session_replication_role = replica; UPDATE accounts SET status = 'open'",
    ):
        (finding,) = examined(whole)
    assert (finding.check, finding.level) == ("accounts", Level.WARNING)


def test_migrations_are_compared_with_ours(whole: Platform) -> None:
    def said(there: str, back: str) -> Finding:
        with changed(whole, "migrator", there, back):
            (finding,) = examined(whole)
        assert finding.check == "migrations"
        return finding

    first = "0001_ledger.sql"
    renamed = "UPDATE schema_migrations SET name = '{}' WHERE name = '{}'"
    with changed(
        whole,
        "migrator",
        renamed.format("9999_x.sql", first),
        renamed.format(first, "9999_x.sql"),
    ):
        missing, foreign = examined(whole)
    assert (missing.found, missing.level) == (f"missing: {first}", Level.DEFECT)
    assert (foreign.found, foreign.level) == (
        "unknown here: 9999_x.sql",
        Level.WARNING,
    )
    turned = "UPDATE schema_migrations SET checksum = reverse(checksum)"
    finding = said(turned, turned)
    assert finding.level is Level.REFUSED
    assert "changed after they were applied: 0001_ledger.sql, " in finding.found


def test_an_empty_database_lacks_its_migrations(whole: Platform) -> None:
    conninfo = whole.stack.conninfo(user="migrator", dbname="postgres")
    found = {each.check: each for each in check_postgres(conninfo)}
    assert found["migrations"].level is Level.DEFECT
    assert "0001_ledger.sql" in found["migrations"].found
    assert "run the migrations" in found["accounts"].found


def test_a_pooler_in_between_is_a_defect(whole: Platform) -> None:
    stack = whole.stack
    leader = stack.postgres.leader()
    assert leader is not None
    with a_pooler("127.0.0.1", stack.endpoints.ports[leader]) as port:
        given = conninfo_to_dict(whole.conninfo("migrator"))
        through = {**given, "host": "127.0.0.1", "port": port, "sslmode": "disable"}
        found = list(check_postgres(make_conninfo("", **through)))
    (finding,) = (each for each in found if each.level is not Level.GOOD)
    assert (finding.check, finding.level) == ("Postgres connection", Level.DEFECT)
    assert finding.found == "a pooler in between"


def test_a_program_starts_with_a_fit_connection_only(whole: Platform) -> None:
    conninfo = whole.conninfo("bank")
    with psycopg.connect(conninfo) as connection:
        # What a session sets itself is its own affair.
        connection.execute("SET idle_in_transaction_session_timeout = '15s'")
        assert postgres.require_fit(connection) == []
    for target in ("DATABASE", "ROLE bank IN DATABASE"):
        target = f'{target} "{whole.dbname}"'
        there = f"ALTER {target} SET default_transaction_isolation = serializable"
        with (
            changed(whole, "postgres", there, f"ALTER {target} RESET ALL"),
            psycopg.connect(conninfo) as connection,
            pytest.raises(Refused, match="default_transaction_isolation: serializable"),
        ):
            postgres.require_fit(connection)
    with psycopg.connect(conninfo, options="-c lock_timeout=9") as connection:
        (finding,) = postgres.require_fit(connection)
        assert finding.check == "lock_timeout"
    connection.close()
    with pytest.raises(Retriable):
        postgres.require_fit(connection)


def test_the_bank_is_not_warned_of_its_own_settings(whole: Platform) -> None:
    warnings: list[str] = []
    with connect(whole.conninfo("bank"), "bank of a test", warnings.extend):
        assert warnings == []


def test_no_secret_is_told(whole: Platform) -> None:
    where = "host=127.0.0.1 port=9 user=audit password=hunter2 dbname=ledger"
    for broken in (where, f"{where} and nonsense", "postgresql://u:hunter2@[::/x"):
        status, bad = doctor(whole, ONCE_DOCTOR_CONNINFO=broken)
        assert status == 78
        assert "hunter2" not in json.dumps(bad)
