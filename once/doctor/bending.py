"""Settings of Postgres that bend what is promised, wherever they are made.

On the server, for a role or for a database: what a session does not set itself, it gets
from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from once.doctor.report import Finding, Level

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which values of a setting are good, and how bad the others are."""

    level: Level
    wanted: str
    is_good: Callable[[str], bool]


def _one_of(level: Level, *values: str) -> Rule:
    def is_good(value: str) -> bool:
        return value.strip("'\"").lower() in values

    return Rule(level, " or ".join(values), is_good)


def _is_utf8(value: str) -> bool:
    return re.sub(r"\W", "", value).lower() in ("utf8", "unicode")


# A timeout that hits a COMMIT cancels its wait for the standby, and nothing else of it.
_NEVER = Rule(
    Level.WARNING, "0", lambda value: re.match(r"'?0+\D*$", value) is not None
)
_UTF8 = Rule(Level.REFUSED, "UTF8", _is_utf8)

SERVER = {
    "fsync": _one_of(Level.REFUSED, "on"),
    "full_page_writes": _one_of(Level.REFUSED, "on"),
    "server_encoding": _UTF8,
    "synchronous_standby_names": Rule(Level.WARNING, "a standby", bool),
}
SESSION = {
    "client_encoding": _UTF8,
    "synchronous_commit": _one_of(Level.REFUSED, "on", "remote_apply"),
    "default_transaction_isolation": _one_of(Level.REFUSED, "read committed"),
    "default_transaction_read_only": _one_of(Level.DEFECT, "off"),
    "session_replication_role": _one_of(Level.REFUSED, "origin"),
    "statement_timeout": _NEVER,
    "transaction_timeout": _NEVER,
    "lock_timeout": _NEVER,
    "idle_in_transaction_session_timeout": _NEVER,
    "idle_session_timeout": _NEVER,
}


def in_session(connection: psycopg.Connection) -> Iterator[Finding]:
    """What was given to this session; what it has set itself is its own affair."""
    rules = {**SERVER, **SESSION}
    found = connection.execute(
        "SELECT name, setting FROM pg_settings"
        " WHERE name = ANY (%s) AND source <> 'session' ORDER BY name",
        (list(rules),),
    )
    for name, value in found.fetchall():
        if not rules[name].is_good(value):
            shown = value or "empty"
            cure = f"ALTER SYSTEM SET {name}, or where it was set"
            yield Finding(name, rules[name].level, shown, rules[name].wanted, cure)


def for_others(connection: psycopg.Connection) -> Iterator[Finding]:
    """What waits for sessions of any role in this database."""
    for role, database, setting in connection.execute(_WAITING).fetchall():
        name, _, value = setting.partition("=")
        rule = SESSION.get(name)
        if rule is not None and not rule.is_good(value):
            check = f"{name} of {_whose(role, database)}"
            cure = f"ALTER {_where(role, database)} RESET {name}"
            yield Finding(check, rule.level, value, rule.wanted, cure)


# Superusers are people who look after the server, not programs of ours.
_WAITING = """
    SELECT coalesce(quote_ident(r.rolname), ''), coalesce(quote_ident(d.datname), ''), u
    FROM pg_db_role_setting s
    LEFT JOIN pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_database d ON d.oid = s.setdatabase
    CROSS JOIN unnest(s.setconfig) u
    WHERE NOT coalesce(r.rolsuper, false)
      AND (s.setdatabase = 0 OR d.datname = current_database())
    ORDER BY 1, 2, 3
"""


def _whose(role: str, database: str) -> str:
    parts = [f"role {role}" if role else "", f"database {database}" if database else ""]
    return " in ".join(part for part in parts if part) or "all roles"


def _where(role: str, database: str) -> str:
    if not role:
        return f"DATABASE {database}" if database else "ROLE ALL"
    return f"ROLE {role} IN DATABASE {database}" if database else f"ROLE {role}"
