"""Applies the plain SQL files of a folder in order, each once, each in a transaction.

Small on purpose: numbered files that only go forward, remembered with their checksum
in `schema_migrations`. Running it again is a no-op; two at once wait for each other;
a file that changed after it was applied is refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg

from once.errors import Refused

_LOCK = 6071019


def migrate(connection: psycopg.Connection, folder: Path) -> list[str]:
    """The names of the files applied now. Raises Refused; nothing is applied then."""
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = connection.execute("SELECT name, checksum FROM schema_migrations")
        done: dict[str, str] = dict(rows.fetchall())
        return [file.name for file in files if _apply(connection, file, done)]


def _apply(connection: psycopg.Connection, file: Path, done: dict[str, str]) -> bool:
    text = file.read_text()
    checksum = hashlib.sha256(text.encode()).hexdigest()
    if file.name in done:
        if done[file.name] != checksum:
            raise Refused(
                f"migration {file.name} changed after it was applied; "
                "put the old text back and write the change as a new file"
            )
        return False
    connection.execute(text.encode())
    connection.execute(
        "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)",
        (file.name, checksum),
    )
    return True
