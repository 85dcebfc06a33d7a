"""Opens SQLite files for journal and index: WAL, shared between threads."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Literal, Protocol

from once.errors import Defect

SQLITE_MIN = (3, 38)  # has ->>
BUSY_SECONDS = 30.0
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def damages(error: sqlite3.Error) -> bool:
    """Whether the file is to blame: it is no database, malformed, or of another schema.

    Not for a disk that is full, or busy, or gone.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in _DAMAGE  # the rest of the code is detail


_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
}


def spoils(error: sqlite3.Error) -> bool:
    """Whether a file that can be made again is better made again.

    Also when it was taken away, or a part of it cannot be read.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF not in _PASSING


def is_full(error: Exception) -> bool:
    """Whether the disk is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


Synchronous = Literal["OFF", "NORMAL", "FULL"]


class Connect(Protocol):
    """Opens a file: `connect`, or what a test has in its place."""

    def __call__(self, path: Path, synchronous: Synchronous) -> sqlite3.Connection: ...


def connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """A connection without implicit transactions. Raises Defect when SQLite is too old.

    `synchronous`: a commit waits for the disk (FULL), or only a checkpoint does
    (NORMAL), or nothing (OFF).
    """
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        raise Defect(
            f"this Python has SQLite {sqlite3.sqlite_version}; journal and index "
            f"need {'.'.join(map(str, SQLITE_MIN))} or newer"
        )
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        connection.close()  # a damaged file is noticed here
        raise
    return connection
