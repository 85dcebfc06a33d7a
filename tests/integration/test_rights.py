"""Rights that an operator gives back are taken away by the next `once migrate`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from local.platform import Platform
from local.platform.environments import for_program
from once import resources
from once.doctor.postgres import check_postgres
from once.doctor.report import Level
from once.migrate import assert_again

pytestmark = pytest.mark.stack

ROLES = ("bank", "audit")
RIGHTS = [(role, right) for role in ROLES for right in ("CREATE", "TEMPORARY")]


@pytest.fixture
def superuser(platform: Platform) -> Iterator[psycopg.Connection]:
    """Whoever operates Postgres, in the ledger's database."""
    conninfo = platform.stack.conninfo(user="postgres", dbname=platform.dbname)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


def migrate(platform: Platform) -> subprocess.CompletedProcess[str]:
    """`python -m once migrate`."""
    return subprocess.run(
        [sys.executable, "-m", "once", "migrate"],
        env=for_program(["once", "migrate"], {**os.environ, **platform.environment()}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rights(superuser: psycopg.Connection) -> list[tuple[str, str]]:
    """Which of the rights that nobody should have are there."""
    return [
        (role, right)
        for role, right in RIGHTS
        if superuser.execute(
            "SELECT has_database_privilege(%s, current_database(), %s)", (role, right)
        ).fetchone()
        == (True,)
    ]


def grant_all(superuser: psycopg.Connection, dbname: str, *roles: str) -> None:
    """What PGO does whenever users or their passwords change."""
    for role in roles:
        grant = sql.SQL("GRANT ALL PRIVILEGES ON DATABASE {} TO {}")
        superuser.execute(grant.format(sql.Identifier(dbname), sql.Identifier(role)))


def test_rights_that_came_back_are_taken_away(
    platform: Platform, superuser: psycopg.Connection
) -> None:
    assert rights(superuser) == []
    grant_all(superuser, platform.dbname, *ROLES, "migrator")
    assert rights(superuser) == RIGHTS
    found = list(check_postgres(platform.conninfo("audit")))
    assert [each.found for each in found if each.level is not Level.GOOD] == [
        "may CREATE, TEMPORARY"
    ] * len(ROLES)

    done = migrate(platform)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "applied nothing: all was there\n"
    assert rights(superuser) == []
    with psycopg.connect(platform.conninfo("bank")) as bank:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            bank.execute("CREATE TEMPORARY TABLE transfers ()")


def test_who_does_not_own_the_database_warns_and_goes_on(
    platform: Platform, superuser: psycopg.Connection
) -> None:
    name = sql.Identifier(platform.dbname)
    superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
    superuser.execute("GRANT CREATE ON SCHEMA public TO migrator")
    grant_all(superuser, platform.dbname, *ROLES)
    done = migrate(platform)
    assert done.returncode == 0
    sentences = done.stderr.splitlines()
    assert len(sentences) == 1 + len(ROLES)
    assert "role migrator does not own database" in sentences[0]
    said = {sentence.partition(" in database ")[0] for sentence in sentences[1:]}
    assert said == {
        f"warning: role {role} may still CREATE or TEMPORARY" for role in ROLES
    }
    superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO migrator").format(name))


def test_a_role_that_is_not_there_is_no_reason_to_stop(
    platform: Platform, superuser: psycopg.Connection
) -> None:
    text = resources.find("postgres/asserted/rights.sql").read_text()
    folder = platform.logs / "asserted"
    folder.mkdir()
    assert text.count("'audit'") == 1
    (folder / "rights.sql").write_text(text.replace("'audit'", "'nobody-of-ours'"))
    grant_all(superuser, platform.dbname, "bank")
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        assert assert_again(connection, folder) == [
            "there is no role nobody-of-ours: nothing to take from it"
        ]
    assert rights(superuser) == []
