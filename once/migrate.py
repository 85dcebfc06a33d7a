"""Applies the plain SQL files of a folder in order, each once, each in a transaction.

Small on purpose: numbered files that only go forward, remembered with their checksum
in `schema_migrations`. Running it again is a no-op; two at once wait for each other;
a file that changed after it was applied is refused. What must hold although others can
undo it is asserted anew each time (`assert_again`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
from psycopg.errors import Diagnostic

from once.errors import Refused

_LOCK = 6071019


def migrate(connection: psycopg.Connection, folder: Path) -> list[str]:
    """The names of the files applied now. Raises Refused; nothing is applied then."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = applied(connection)
        files = _files(folder)
        return [file.name for file in files if _apply(connection, file, done)]


def assert_again(connection: psycopg.Connection, folder: Path) -> list[str]:
    """Run every file of the folder, as at every call; the warnings that they raise.

    For what others may undo behind our back. A file tolerates what it may not change
    and warns of it; two at once wait for each other.
    """
    warnings: list[str] = []

    def note(said: Diagnostic) -> None:
        if said.severity_nonlocalized == "WARNING":
            warnings.append(said.message_primary or "")

    connection.add_notice_handler(note)
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for file in sorted(folder.glob("*.sql")):
                connection.execute(file.read_text().encode())
    finally:
        connection.remove_notice_handler(note)
    return warnings


def applied(connection: psycopg.Connection) -> dict[str, str]:
    """The checksum of every file that was applied, by its name."""
    rows = connection.execute("SELECT name, checksum FROM schema_migrations")
    return dict(rows.fetchall())


def checksums(folder: Path) -> dict[str, str]:
    """The checksum of every file as it is now, by its name."""
    return {file.name: _checksum(file.read_text()) for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _apply(connection: psycopg.Connection, file: Path, done: dict[str, str]) -> bool:
    text = file.read_text()
    checksum = _checksum(text)
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
