"""The tables of the ledger, as Postgres has them after the migrations."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from local.reference.blocks import Table, code, table

# What a person reads first comes first: views behind the tables they are made of.
RELATIONS = """
    SELECT c.oid::int, c.relname, c.relkind = 'v', coalesce(obj_description(c.oid), '')
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
    ORDER BY c.relkind, c.relname
"""
COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           coalesce(col_description(a.attrelid, a.attnum), '')
    FROM pg_attribute a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
CONSTRAINTS = """
    SELECT pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %s ORDER BY contype DESC, conname
"""
RIGHTS = """
    SELECT c.relname, p.privilege_type, NULL
    FROM pg_class c, aclexplode(c.relacl) p
    WHERE p.grantee = %s::regrole AND c.relnamespace = 'public'::regnamespace
    UNION
    SELECT c.relname, p.privilege_type, a.attname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) p
    WHERE p.grantee = %s::regrole AND c.relnamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3
"""
ROLES = ("bank", "audit")


def tables(connection: psycopg.Connection) -> dict[str, Table]:
    """What is in the ledger, as `ledger`, and who may do what, as `rights`."""
    return {
        "ledger": lambda: _relations(connection),
        "rights": lambda: _rights(connection),
    }


def _relations(connection: psycopg.Connection) -> str:
    found = connection.execute(RELATIONS).fetchall()
    return "\n".join(_relation(connection, *each) for each in found)


def _relation(
    connection: psycopg.Connection, oid: int, name: str, is_view: bool, about: str
) -> str:
    columns = connection.execute(COLUMNS, [oid]).fetchall()
    rows = [
        (code(column), kind if required or is_view else f"{kind}, or NULL", said)
        for column, kind, required, said in columns
    ]
    rules = [rule for (rule,) in connection.execute(CONSTRAINTS, [oid])]
    parts = [f"### `{name}`{' (view)' if is_view else ''}\n"]
    parts += [f"{about}.\n"] if about else []
    parts += [table(("column", "type", ""), rows)]
    parts += [f"Rules: {', '.join(map(code, rules))}.\n"] if rules else []
    return "\n".join(parts)


def _rights(connection: psycopg.Connection) -> str:
    rows = [(code(role), *cells) for role in ROLES for cells in _of(connection, role)]
    return table(("role", "may", "on"), rows)


def _of(connection: psycopg.Connection, role: str) -> Iterable[tuple[str, str]]:
    """What a role may do, and on which tables or columns."""
    on: dict[str, list[str]] = {}
    for relation, right, column in connection.execute(RIGHTS, [role, role]):
        on.setdefault(right, []).append(f"{relation}.{column}" if column else relation)
    return [(right, ", ".join(map(code, names))) for right, names in on.items()]
