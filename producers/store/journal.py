"""The durable backlog: a SQLite file in WAL mode, synced before anything is promised.

With it the API keeps accepting while Kafka is away, and whoever opens the file next
sends what is left, in order. Sent twice is legal (the Bank knows the ids), lost is not.
Keep it on a real disk: a network file system may lie about both locks and syncs.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from once.errors import Defect, Refused
from producers.store import locks
from producers.store.backlog import Entry, Full
from producers.store.receipts import Receipt
from producers.store.sqlite import Connect, Synchronous, connect, damages
from producers.store.transfers import Transfer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    transfer_id BLOB NOT NULL,
    client TEXT NOT NULL,
    digest BLOB NOT NULL,
    debit_account INTEGER NOT NULL,
    credit_account INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    memo TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_id ON entries (transfer_id);
"""
# One statement for many rows, in and out: between two of them Python's other threads
# have their turn, and this one waits for its next. Ids and digests go in as one blob
# each, cut by the row's place in the JSON array beside them.
_APPEND = """
INSERT INTO entries (transfer_id, digest, client, debit_account, credit_account, amount,
                     currency, memo, created_at_ms)
SELECT substr(:ids, 16 * key + 1, 16), substr(:digests, 16 * key + 1, 16), value ->> 0,
       value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM json_each(:rows) ORDER BY key
"""
_TAKE = """
SELECT max(number), json_group_array(json_array(
    hex(transfer_id), client, hex(digest), debit_account, credit_account, amount,
    currency, memo, created_at_ms))
FROM (SELECT * FROM entries WHERE number > :after AND number <= :counted
      ORDER BY number LIMIT :most)
"""
_LAST_OF = """
SELECT max(number) FROM
(SELECT number FROM entries WHERE number > :removed ORDER BY number LIMIT :count)
"""
ROOM_BYTES_MIN = 16 << 20  # less is a full disk: a commit needs some, too


class Journal:
    """A backlog on disk.

    `append` raises sqlite3.Error when the disk fails. As with any COMMIT that ends in
    an error, the entries may be there all the same; they are sent if they are.
    """

    durable = True

    def __init__(
        self, path: Path, entries_max: int, *, connect: Connect = connect
    ) -> None:
        """Open or make the file; `connect` does, to append, to remove and to look up.

        Raises Refused when another process has it open or the file is damaged: what it
        promised is never forgotten silently. Raises Defect when it cannot be opened.
        """
        real = path.resolve()  # one lock, whatever name the file is called by
        lock = real.with_name(f"{real.name}.lock")
        self._lock = locks.hold(lock, f"the journal {path}", "STORE_JOURNAL")
        self._open_file = connect
        self._connections: list[sqlite3.Connection] = []
        try:
            self._open(path, entries_max)
        except sqlite3.Error as error:
            self.close()
            if damages(error):
                raise Refused(
                    f"the journal {path} is damaged ({error}), and may hold transfers "
                    "that were promised and not sent; keep the file, save them "
                    "(docs/runbooks/store-not-ready.md), then start with another "
                    "STORE_JOURNAL"
                ) from error
            raise Defect(
                f"the journal {path} (STORE_JOURNAL) cannot be opened: {error}"
            ) from error

    def _open(self, path: Path, entries_max: int) -> None:
        self._entries_max = entries_max
        self._writer = self._connect(path, "FULL")  # a commit is a sync
        _check(self._writer)
        self._writer.executescript(_SCHEMA)
        # What is not synced here comes back after a power cut, and is sent again.
        self._remover = self._connect(path, "NORMAL")
        self._reader = self._connect(path, "NORMAL")
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._changed = threading.Condition()
        self._folder = path.resolve().parent
        self._failed: str | None = None  # the last write, and why
        # All five change together, under the condition. Entries that are in the file
        # and not counted yet are not there: an append counts after its COMMIT.
        self._removed = 0  # the last number that was; the file may have it still
        self._taken = 0  # the last number that was
        self._counted = 0  # the last number that is in the counts
        self._count = self._waiting = 0  # all; those that were not taken
        self._count_again()

    def _connect(self, path: Path, synchronous: Synchronous) -> sqlite3.Connection:
        connection = self._open_file(path, synchronous)
        self._connections.append(connection)
        return connection

    def append(self, entries: Sequence[Entry]) -> int:
        if len(entries) > self.room():
            raise Full
        with self._writing:
            try:
                with self._writer:
                    self._writer.execute("BEGIN IMMEDIATE")
                    self._writer.execute(_APPEND, _columns(entries))
                    (last,) = self._writer.execute(
                        "SELECT last_insert_rowid()"
                    ).fetchone()
            except sqlite3.Error as error:
                self._failed = str(error)
                self._count_again()  # a COMMIT that fails may have had its effect
                raise
            self._failed = None
            with self._changed:
                self._counted = int(last)
                self._count += len(entries)
                self._waiting += len(entries)
                self._changed.notify_all()
        return int(last)

    def _count_again(self) -> None:
        """What is in the file, once and for all. Not beside an append."""
        with self._changed, self._reading:
            self._count, self._waiting, self._counted = self._reader.execute(
                "SELECT count(*), count(*) FILTER (WHERE number > :taken),"
                " coalesce(max(number), :taken) FROM entries WHERE number > :removed",
                {"taken": self._taken, "removed": self._removed},
            ).fetchone()
            self._changed.notify_all()

    def take(
        self, most: int, *, linger_seconds: float = 0.0, wait_seconds: float = 0.0
    ) -> list[Entry]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting > 0, wait_seconds):
                return []
            self._changed.wait_for(lambda: self._waiting >= most, linger_seconds)
            bounds = {"after": self._taken, "counted": self._counted, "most": most}
        last, rows = self._remover.execute(_TAKE, bounds).fetchone()
        taken = [_entry(row) for row in json.loads(rows)]
        if not taken:  # the file has not what was counted: it was meddled with
            raise sqlite3.DatabaseError("the journal lacks entries that it held")
        with self._changed:
            self._taken = last
            self._waiting -= len(taken)
        return taken

    def remove(self, count: int) -> int:
        bounds = {"removed": self._removed, "count": count}
        with self._writing:
            (last,) = self._remover.execute(_LAST_OF, bounds).fetchone()
            try:
                with self._remover:
                    self._remover.execute("BEGIN IMMEDIATE")
                    self._remover.execute(
                        "DELETE FROM entries WHERE number <= ?", (last,)
                    )
            except sqlite3.OperationalError as error:
                # Also to delete needs room. It is sent, so that what is behind it can
                # be, too; the next removal takes it with it, or the next start sends it
                # once more.
                if damages(error):
                    raise
                self._failed = str(error)
            with self._changed:  # before an append can count again
                self._removed = int(last)
                self._count -= count
        return int(last)

    def trouble(self) -> str | None:
        if self._failed is None:
            return None
        free = os.statvfs(self._folder)
        if free.f_bavail * free.f_frsize >= ROOM_BYTES_MIN:
            return None  # let the next one try
        return f"the journal's disk is full ({self._failed}); make room on it"

    def withdraw(self, first: int, last: int) -> bool:
        return False  # it was promised

    def find(self, transfer_ids: Sequence[bytes]) -> list[Receipt]:
        if not self._count:
            return []
        places = ", ".join("?" * len(transfer_ids))
        with self._reading:
            rows = self._reader.execute(
                "SELECT transfer_id, client, digest FROM entries"
                f" WHERE transfer_id IN ({places}) AND number > ?",
                (*transfer_ids, self._removed),
            ).fetchall()
        return [Receipt(*row) for row in rows]

    def room(self) -> int:
        return max(0, self._entries_max - self._count)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._lock.close()


def _check(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError when this is no sound journal; changes nothing."""
    (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if report != "ok":
        raise sqlite3.DatabaseError(" ".join(report.split()))
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.execute(_TAKE, {"after": 0, "counted": 0, "most": 0})


def _columns(entries: Sequence[Entry]) -> dict[str, object]:
    rows = [
        (
            entry.receipt.client,
            entry.transfer.debit_account,
            entry.transfer.credit_account,
            entry.transfer.amount,
            entry.transfer.currency,
            entry.transfer.memo,
            entry.transfer.created_at_ms,
        )
        for entry in entries
    ]
    return {
        "ids": b"".join(entry.receipt.transfer_id for entry in entries),
        "digests": b"".join(entry.receipt.digest for entry in entries),
        "rows": json.dumps(rows),
    }


def _entry(row: list[Any]) -> Entry:
    transfer_id, client, digest, debit, credit, amount, currency, memo, created = row
    transfer = Transfer.model_construct(
        transfer_id=UUID(hex=transfer_id),
        debit_account=debit,
        credit_account=credit,
        amount=amount,
        currency=currency,
        memo=memo,
        created_at_ms=created,
    )
    receipt = Receipt(bytes.fromhex(transfer_id), client, bytes.fromhex(digest))
    return Entry(transfer, receipt)
