"""The SQLite connections of a journal or an index, for tests that come between."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from producers.store.sqlite import Synchronous, connect


class JournalHandles(NamedTuple):
    """The connections of one journal."""

    writer: sqlite3.Connection
    remover: sqlite3.Connection
    reader: sqlite3.Connection


class PartHandles(NamedTuple):
    """The connections of one part of an index."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection


class Handles:
    """Opens files as the Store does, and has the connections at hand."""

    def __init__(self) -> None:
        self._opened: list[sqlite3.Connection] = []

    def __call__(self, path: Path, synchronous: Synchronous) -> sqlite3.Connection:
        self._opened.append(connect(path, synchronous))
        return self._opened[-1]

    def journal(self) -> JournalHandles:
        """Those of the journal that was opened last."""
        return JournalHandles(*self._opened[-3:])

    def parts(self) -> list[PartHandles]:
        """Those of all parts, in the order of their opening."""
        pairs = zip(self._opened[::2], self._opened[1::2], strict=True)
        return [PartHandles(*pair) for pair in pairs]


def let_grow(connection: sqlite3.Connection, pages: int) -> None:
    """From now on the disk is full for what needs more than so many pages more."""
    (there,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {there + pages}")


def break_off(connection: sqlite3.Connection, at: int | None) -> None:
    """Let its next work fail at that instruction, if it gets there; None: no more."""
    if at is None:
        connection.set_progress_handler(None, 1)
        return
    left = iter([False] * at + [True])
    connection.set_progress_handler(lambda: next(left, False), 1)
