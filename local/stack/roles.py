"""The roles and the database that an operator would make: no tables, no grants.

Everything else about the schema is in `postgres/migrations/`.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from local.stack.passwords import LOGIN_ROLES, MONITOR

DATABASE = "ledger"
OWNER = "migrator"


def ensure_roles(conninfo: str, passwords: Mapping[str, str]) -> None:
    """Create the login roles and the database where missing; set their passwords.

    `conninfo` is the superuser's, to the database `postgres`.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for role in LOGIN_ROLES:
            _ensure_role(connection, role, passwords[role])
        _ensure_role(connection, MONITOR, passwords[MONITOR])
        connection.execute(
            sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(MONITOR))
        )
        ensure_database(connection, DATABASE, OWNER)


def ensure_database(connection: psycopg.Connection, name: str, owner: str) -> None:
    """Create it where it is missing; the connection commits by itself."""
    known = connection.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", [name]
    ).fetchone()
    if known is None:
        create = sql.SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(owner)))


def _ensure_role(connection: psycopg.Connection, role: str, password: str) -> None:
    known = connection.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]
    ).fetchone()
    if known is not None:
        return
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(password)
        )
    )
