"""The roles and the database that an operator would make: no tables, no grants.

Everything else about the schema is in `postgres/migrations/`.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from local.stack.passwords import LOGIN_ROLES

DATABASE = "ledger"
OWNER = "migrator"


def ensure_roles(conninfo: str, passwords: Mapping[str, str]) -> None:
    """Create the login roles and the database where missing; set their passwords.

    `conninfo` is the superuser's, to the database `postgres`.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for role in LOGIN_ROLES:
            _ensure_role(connection, role, passwords[role])
        made = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone()
        if made is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER)
                )
            )


def _ensure_role(
    connection: psycopg.Connection[tuple[object, ...]], role: str, password: str
) -> None:
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
