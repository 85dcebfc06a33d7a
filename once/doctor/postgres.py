"""Whether Postgres can keep what is promised.

Programs call `require_fit` with their connection when they start; `check_postgres` is
the whole of it, for `python -m once doctor`.

What belongs to the tables in it is asked by the files of postgres/checks: each is one
SELECT of (check, level, found, wanted, cure).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from once import migrate, resources
from once.doctor.bending import for_others, in_session
from once.doctor.report import Finding, Level, good, guarded, require
from once.errors import Defect
from once.postgres import from_postgres

CLOCK_SECONDS_MAX = 30.0
MIGRATE = "make migrate"

Check = Callable[[psycopg.Connection], Iterator[Finding]]


def check_postgres(conninfo: str) -> Iterator[Finding]:
    """All about the server, its settings and what is in the database.

    Raises Retriable or Defect when it cannot be reached.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(conninfo)
        merged = {"connect_timeout": 5, "application_name": "doctor", **given}
        connection = psycopg.connect(make_conninfo("", **merged), autocommit=True)
    except psycopg.ProgrammingError:  # whose text may quote a password
        raise Defect("what is given as conninfo is none") from None
    except psycopg.Error as error:
        raise from_postgres(error, "connecting to Postgres") from error
    with connection:
        parts: dict[str, Check] = {
            "Postgres server": _server,
            "Postgres connection": _directly,
            "Postgres settings": _settings,
            "Postgres clock": _clock,
            "migrations": _migrations,
            "postgres/checks": _checks,
        }
        for name, part in parts.items():
            yield from guarded(name, _translated(part, connection))


def require_fit(connection: psycopg.Connection) -> list[Finding]:
    """The warnings about a program's own connection; with worse it must not start.

    Raises Refused (settings under which money could be lost or decided wrongly), Defect
    (a pooler in between) and what asking Postgres may end in. It only reads; to end the
    transaction is the caller's.
    """
    checks: tuple[Check, ...] = (_directly, in_session)
    return require(
        finding for check in checks for finding in _translated(check, connection)
    )


def _server(connection: psycopg.Connection) -> Iterator[Finding]:
    """Whether it is the primary."""
    recovers, version = _row(
        connection, "SELECT pg_is_in_recovery(), current_setting('server_version')"
    )
    if recovers:
        cure = "add target_session_attrs=read-write and all hosts to the conninfo"
        yield Finding("Postgres server", Level.DEFECT, "a standby", "the primary", cure)
    else:
        yield good("Postgres server", f"primary, version {version}")


def _directly(connection: psycopg.Connection) -> Iterator[Finding]:
    """Whether nobody stands between us and the server."""
    (pid,) = _row(connection, "SELECT pg_backend_pid()")
    if pid != connection.info.backend_pid:
        yield Finding(
            "Postgres connection",
            Level.DEFECT,
            "a pooler in between",
            "the server itself",
            "connect to the primary: settings of a session and prepared statements get "
            "lost in a pooler",
        )


def _settings(connection: psycopg.Connection) -> Iterator[Finding]:
    found = [*in_session(connection), *for_others(connection)]
    yield from found or [good("Postgres settings", "durable, and as sessions expect")]


def _clock(connection: psycopg.Connection) -> Iterator[Finding]:
    before = time.time()
    (there,) = _row(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
    apart_seconds = there - (before + time.time()) / 2
    if abs(apart_seconds) > CLOCK_SECONDS_MAX:
        yield Finding(
            "Postgres clock",
            Level.WARNING,
            f"{apart_seconds:+.0f} s from this machine's",
            f"at most {CLOCK_SECONDS_MAX:.0f} s",
            "look at the time synchronisation of both",
        )
    else:
        yield good("Postgres clock", f"{apart_seconds:+.1f} s from this machine's")


def _migrations(connection: psycopg.Connection) -> Iterator[Finding]:
    ours = migrate.checksums(resources.find("postgres/migrations"))
    try:
        done = migrate.applied(connection)
    except psycopg.errors.UndefinedTable:
        done = {}
    wanted = f"{len(ours)} applied"
    missing = sorted(ours.keys() - done.keys())
    changed = sorted(name for name in ours if done.get(name, ours[name]) != ours[name])
    foreign = sorted(done.keys() - ours.keys())
    if missing:
        found = f"missing: {', '.join(missing)}"
        yield Finding("migrations", Level.DEFECT, found, wanted, MIGRATE)
    if changed:
        found = f"changed after they were applied: {', '.join(changed)}"
        cure = "put the old text back and write the change as a new file"
        yield Finding("migrations", Level.REFUSED, found, wanted, cure)
    if foreign:
        found = f"unknown here: {', '.join(foreign)}"
        cure = "this program is older than the database: deploy the newer one"
        yield Finding("migrations", Level.WARNING, found, wanted, cure)
    if not (missing or changed or foreign):
        yield good("migrations", wanted)


def _checks(connection: psycopg.Connection) -> Iterator[Finding]:
    for file in sorted(resources.find("postgres/checks").glob("*.sql")):
        yield from guarded(file.stem, _translated(_check_of(file), connection))


def _check_of(file: Path) -> Check:
    def check(connection: psycopg.Connection) -> Iterator[Finding]:
        found = connection.execute(file.read_text().encode()).fetchall()
        for name, level, *texts in found:
            yield Finding(name, Level(level), *texts)

    return check


def _translated(check: Check, connection: psycopg.Connection) -> Iterator[Finding]:
    try:
        yield from check(connection)
    except psycopg.Error as error:
        raise from_postgres(error, "asking Postgres") from error


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None, query
    return row
