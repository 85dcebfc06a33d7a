"""The ledger's own guards: migrations, and what each role may not do."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local.platform import Platform
from once import resources
from once.errors import Refused
from once.migrate import migrate
from tests.fix_platform import emit, transfer

pytestmark = pytest.mark.stack

# Tables whose rows nobody changes, and a column of each.
FOREVER = {
    **dict.fromkeys(("transfers", "batches", "quarantine"), "partition"),
    **dict.fromkeys(("account_changes", "decisions"), "epoch"),
}
CHANGES = (
    "UPDATE {0} SET {1} = {1}",
    "DELETE FROM {0}",
    "TRUNCATE {0}",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The migrations, to be changed at will."""
    found = resources.find("postgres/migrations")
    return Path(shutil.copytree(found, tmp_path / "migrations"))


def run_migrations(platform: Platform, folder: Path) -> list[str]:
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        return migrate(connection, folder)


def refused(platform: Platform, role: str, statement: str) -> str | None:
    """The SQLSTATE that a statement of this role ends with; None when it may."""
    with psycopg.connect(platform.conninfo(role)) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            connection.rollback()
    return None


def there(platform: Platform, table: str) -> bool:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    return row is not None and row[0] is not None


def test_migrating_again_changes_nothing(platform: Platform, folder: Path) -> None:
    assert run_migrations(platform, folder) == []


def test_a_new_migration_is_applied_once_by_two_who_race(
    platform: Platform, folder: Path
) -> None:
    (folder / "0900_new.sql").write_text("CREATE TABLE new ();")
    with ThreadPoolExecutor(2) as pool:
        racing = [pool.submit(run_migrations, platform, folder) for _ in range(2)]
        applied = [each.result() for each in racing]
    assert sorted(applied) == [[], ["0900_new.sql"]]
    assert there(platform, "new")


def test_a_changed_migration_is_refused_and_nothing_is_applied(
    platform: Platform, folder: Path
) -> None:
    (folder / "0000_early.sql").write_text("CREATE TABLE early ();")
    changed = folder / "0002_roles.sql"
    changed.write_text(changed.read_text() + "-- an afterthought\n")
    with pytest.raises(Refused, match="0002_roles.sql changed after it was applied"):
        run_migrations(platform, folder)
    assert not there(platform, "early")


def test_a_broken_migration_leaves_nothing_behind(
    platform: Platform, folder: Path
) -> None:
    (folder / "0900_good.sql").write_text("CREATE TABLE good ();")
    (folder / "0901_broken.sql").write_text("CREATE TABLE half (); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_migrations(platform, folder)
    assert not there(platform, "good")
    assert not there(platform, "half")


def test_the_bank_may_add_and_never_change_or_remove(platform: Platform) -> None:
    forbidden = [change.format(*item) for item in FOREVER.items() for change in CHANGES]
    forbidden += [
        "UPDATE transfers SET memo = ''",
        "UPDATE accounts SET status = 'open'",
        "UPDATE accounts SET credit_limit = 1",
        "INSERT INTO accounts (account, currency) VALUES (7777, 'EUR')",
        "INSERT INTO account_changes (changed_at) VALUES (now())",
        "DELETE FROM accounts",
        "DELETE FROM credits",
        "DELETE FROM positions",
        "DELETE FROM emitters",
        "UPDATE emitter_gaps SET found_sequence = 0",
        "DELETE FROM emitter_gaps",
        "UPDATE accounts_epoch SET epoch = 1",
        "INSERT INTO verdicts VALUES (9, 'NEW')",
        "UPDATE schema_migrations SET checksum = ''",
        "ALTER TABLE transfers DISABLE TRIGGER immutable",
        "DROP TABLE transfers",
        "CREATE TABLE mine ()",
        "SET session_replication_role = replica",
        "SET ROLE migrator",
        "SET ROLE postgres",
    ]
    said = {each: refused(platform, "bank", each) for each in forbidden}
    assert said == dict.fromkeys(forbidden, "42501")  # insufficient_privilege


def test_the_audit_reads_everything_and_writes_nothing(platform: Platform) -> None:
    query = """
        SELECT relname, privilege,
               has_table_privilege('audit', pg_class.oid, privilege)
               OR privilege IN ('INSERT', 'UPDATE') -- perhaps on a column
                  AND has_any_column_privilege('audit', pg_class.oid, privilege)
        FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE',
                                    'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
          AND relname <> 'schema_migrations'
    """
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute(query.encode()).fetchall()
    assert {row[0] for row in rows} >= {*FOREVER, "accounts", "credits", "ledger"}
    wrong = [row for row in rows if row[2] != (row[1] == "SELECT")]
    assert not wrong
    assert refused(platform, "audit", "SET ROLE bank") == "42501"


def test_the_owner_is_neither_bank_nor_audit_nor_almighty(platform: Platform) -> None:
    query = """
        SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
               OR rolbypassrls
               OR EXISTS (SELECT FROM pg_auth_members
                          WHERE member = pg_roles.oid OR roleid = pg_roles.oid)
        FROM pg_roles WHERE rolname IN ('migrator', 'bank', 'audit')
    """
    with psycopg.connect(platform.conninfo("audit")) as connection:
        assert connection.execute(query.encode()).fetchall() == [(False,)] * 3


@pytest.mark.parametrize("role", ["migrator", "postgres"])
def test_not_even_the_owner_or_the_superuser_changes_what_is_written(
    platform: Platform, role: str
) -> None:
    emit(platform, transfer())
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(1)
    said = {
        (table, change): refused(platform, role, change.format(table, column))
        for table, column in FOREVER.items()
        for change in CHANGES
    }
    # integrity_constraint_violation: what the trigger raises
    assert said == dict.fromkeys(said, "23000")
    assert platform.audit().invariants_ok
