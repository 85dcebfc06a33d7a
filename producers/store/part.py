"""One file of the index: what was read of the log in some hours, and what that was.

Rows and the ranges of offsets that they come from are written in one transaction. So a
file that is lost says by its absence what must be read again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from producers.store.facts import Decided, Facts, Place, Range
from producers.store.idfilter import Asked, IdFilter
from producers.store.receipts import ClientReceipts
from producers.store.sqlite import Connect, connect
from producers.store.states import Verdicts

VERSION = 13  # of the schema; a file of another one is made again
ROW_BYTES = 75  # measured

_SCHEMA = f"""
CREATE TABLE sendings (
    transfer_id BLOB NOT NULL,
    emitter BLOB NOT NULL,
    client TEXT,
    digest BLOB,
    verdict INTEGER,
    first_verdict INTEGER,
    PRIMARY KEY (transfer_id, emitter)
) WITHOUT ROWID;
CREATE TABLE ranges (
    topic_id TEXT NOT NULL,
    partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    PRIMARY KEY (topic_id, partition, first_offset)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
# One statement for all rows of an emitter: between two statements Python's other
# threads have their turn, and this one waits for its next. Ids and digests come as one
# blob each and are cut here.
_RECEIPTS = """
WITH RECURSIVE places(place) AS (
    SELECT 1 UNION ALL SELECT place + 16 FROM places WHERE place + 16 < length(:ids)
)
INSERT INTO sendings (transfer_id, emitter, client, digest)
SELECT substr(:ids, place, 16), :emitter, :client, substr(:digests, place, 16)
FROM places WHERE true
ON CONFLICT (transfer_id, emitter)
DO UPDATE SET client = excluded.client, digest = excluded.digest
WHERE client IS NULL
"""
_VERDICTS = """
INSERT INTO sendings (transfer_id, emitter, verdict, first_verdict)
SELECT substr(:ids, 16 * key + 1, 16), :emitter, value ->> 0, value ->> 1
FROM json_each(:verdicts) WHERE true
ON CONFLICT (transfer_id, emitter)
DO UPDATE SET verdict = excluded.verdict, first_verdict = excluded.first_verdict
WHERE verdict IS NULL OR excluded.verdict IN ({decided})
"""
# A range goes on where one ended, or begins.
_EXTEND = """
UPDATE ranges SET end_offset = max(end_offset, :end) WHERE topic_id = :topic_id
AND partition = :partition AND first_offset <= :first AND end_offset >= :first
"""
_BEGIN = """
INSERT INTO ranges VALUES (:topic_id, :partition, :first, :end)
"""


class Row(NamedTuple):
    """What a part knows of one sending; None: not in this part."""

    transfer_id: bytes
    emitter: bytes
    client: str | None
    digest: bytes | None
    verdict: int | None
    first_verdict: int | None


class Part:
    """Written by several threads, read by any; readers do not wait for a writer.

    Every method raises sqlite3.Error when the file fails.
    """

    def __init__(
        self,
        path: Path,
        verdicts: Verdicts,
        *,
        began_seconds: int,
        number: int,
        ids: IdFilter | None,
        connect: Connect = connect,
    ) -> None:
        """Open a file, or make it. `ids`: empty, for a new one; None: always ask.

        `began_seconds`: the Unix time of the first hour that it is about; `number`
        tells it from others of the same time. `connect` opens it, to write, then to
        read.
        """
        self.path = path
        self.began_seconds, self.number = began_seconds, number
        self._ids = ids
        self._writing, self._reading = threading.Lock(), threading.Lock()
        decided = (n for n in range(len(verdicts.names)) if verdicts.decided(n))
        self._verdicts_sql = _VERDICTS.format(decided=", ".join(map(str, decided)))
        # Not synced: what is lost is read again.
        self._writer = connect(path, "OFF")
        try:
            self._prepare(new=ids is not None)
            self._reader = connect(path, "OFF")
        except BaseException:
            self._writer.close()
            raise

    def _prepare(self, new: bool) -> None:
        if new:
            self._writer.executescript(_SCHEMA)
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise sqlite3.DatabaseError(f"its schema has version {version}")

    def write(self, facts: Facts, ranges: Sequence[Range]) -> None:
        """What was read, and where, in one transaction."""
        with self._writing:
            if self._ids is not None:  # before a reader can ask for them
                self._ids.add(facts.packed())
            with self._writer as connection:
                connection.execute("BEGIN IMMEDIATE")
                self._write_receipts(facts.receipts)
                self._write_results(facts.results)
                for (topic_id, partition), first, end in ranges:
                    where = {"topic_id": topic_id, "partition": partition}
                    offsets = {**where, "first": first, "end": end}
                    if not connection.execute(_EXTEND, offsets).rowcount:
                        connection.execute(_BEGIN, offsets)

    def _write_receipts(
        self, receipts: Mapping[bytes, Sequence[ClientReceipts]]
    ) -> None:
        for emitter, clients in receipts.items():
            for client, ids, digests in clients:
                packed = {"ids": ids, "digests": digests}
                whose = {"emitter": emitter, "client": client}
                self._writer.execute(_RECEIPTS, {**packed, **whose})

    def _write_results(self, results: Mapping[bytes, Sequence[Decided]]) -> None:
        for emitter, records in results.items():
            said = (
                pair
                for _, verdicts, firsts in records
                for pair in zip(verdicts, firsts, strict=True)
            )
            packed = {
                "emitter": emitter,
                "ids": b"".join(each.transfer_ids for each in records),
                "verdicts": json.dumps([*said]),
            }
            self._writer.execute(self._verdicts_sql, packed)

    def find(self, asked: Asked) -> list[Row]:
        """The rows of these ids; at most 30,000."""
        ids = asked.transfer_ids if self._ids is None else self._ids.among(asked)
        if not ids:
            return []
        places = ", ".join("?" * len(ids))
        with self._reading:
            rows = self._reader.execute(
                "SELECT transfer_id, emitter, client, digest, verdict, first_verdict"
                f" FROM sendings WHERE transfer_id IN ({places})",
                ids,
            ).fetchall()
        return [Row(*row) for row in rows]

    def ranges(self) -> list[Range]:
        """What it was made from."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT topic_id, partition, first_offset, end_offset FROM ranges"
            ).fetchall()
        return [Range(Place(*row[:2]), *row[2:]) for row in rows]

    def size_bytes(self) -> int:
        """How much of the disk it takes."""
        return sum(_size_bytes(each) for each in files_of(self.path))

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def remove(self) -> None:
        """Close and remove the file."""
        with closing(self):
            pass
        for each in files_of(self.path):
            each.unlink(missing_ok=True)


def files_of(path: Path) -> list[Path]:
    """A SQLite file and those beside it."""
    return [path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))]


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
