"""The status of every transfer of the last day, whichever replica sent it.

A SQLite file that holds nothing but what the log says: the follower writes rows and its
positions in the log in one transaction, and a file that is lost is made again from the
log. A row is one sending: a transfer_id under one emitter.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from producers.store.receipts import ClientReceipts, Receipt
from producers.store.sqlite import connect
from producers.store.states import Sent, Verdicts

PRUNED_ROWS_MAX = 20_000  # at a time: readers wait meanwhile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sendings (
    number INTEGER PRIMARY KEY,
    transfer_id BLOB NOT NULL,
    emitter BLOB NOT NULL,
    client TEXT,
    digest BLOB,
    verdict INTEGER,
    seen_s INTEGER NOT NULL,
    UNIQUE (transfer_id, emitter)
);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
"""
# One statement for all rows of an emitter: between two statements Python's other
# threads have their turn, and this one waits for its next. Ids and digests come as one
# blob each and are cut here.
_RECEIPTS = """
WITH RECURSIVE places(place) AS (
    SELECT 1 UNION ALL SELECT place + 16 FROM places WHERE place + 16 < length(:ids)
)
INSERT INTO sendings (transfer_id, emitter, client, digest, seen_s)
SELECT substr(:ids, place, 16), :emitter, :client, substr(:digests, place, 16), :now
FROM places WHERE true
ON CONFLICT (transfer_id, emitter)
DO UPDATE SET client = excluded.client, digest = excluded.digest
WHERE client IS NULL
"""
_VERDICTS = """
INSERT INTO sendings (transfer_id, emitter, verdict, seen_s)
SELECT substr(:ids, 16 * key + 1, 16), :emitter, value, :now
FROM json_each(:verdicts) WHERE true
ON CONFLICT (transfer_id, emitter) DO UPDATE SET verdict = excluded.verdict
WHERE verdict IS NULL OR excluded.verdict IN ({decided})
"""

Positions = dict[tuple[str, int], int]  # next offset by topic and partition


class Index:
    """Who sent what, and the verdicts. Written by two threads, read by any.

    Readers have a connection of their own: they do not wait for a writer.
    """

    def __init__(self, path: Path, verdicts: Verdicts) -> None:
        """Open or make the file."""
        self.verdicts = verdicts
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not synced: what is lost is read again.
        self._writer, self._reader = connect(path, "OFF"), connect(path, "OFF")
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._writer.executescript(_SCHEMA)
        decided = (n for n in range(len(verdicts.names)) if verdicts.decided(n))
        self._verdicts_sql = _VERDICTS.format(decided=", ".join(map(str, decided)))

    def positions(self) -> Positions:
        """Where to go on reading, by topic and partition."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT topic, partition, next_offset FROM positions"
            ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def write(
        self,
        receipts: Mapping[bytes, Sequence[ClientReceipts]],
        results: Mapping[bytes, Sequence[tuple[bytes, int]]],
        positions: Mapping[tuple[str, int], int],
    ) -> None:
        """What was read up to `positions`: receipts, and (id, verdict), by emitter."""
        now = int(time.time())
        with self._writing, self._writer as connection:
            connection.execute("BEGIN")
            for emitter, clients in receipts.items():
                for client, ids, digests in clients:
                    columns = {"emitter": emitter, "now": now, "client": client}
                    packed = {"ids": ids, "digests": digests}
                    connection.execute(_RECEIPTS, {**columns, **packed})
            for emitter, decided in results.items():
                verdicts = {
                    "emitter": emitter,
                    "now": now,
                    "ids": b"".join(transfer_id for transfer_id, _ in decided),
                    "verdicts": json.dumps([verdict for _, verdict in decided]),
                }
                connection.execute(self._verdicts_sql, verdicts)
            connection.executemany(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                " SET next_offset = excluded.next_offset",
                [(*where, offset) for where, offset in positions.items()],
            )

    def find(self, transfer_ids: Sequence[bytes]) -> list[Sent]:
        """Every known sending of these ids, by whomever; at most 30,000 ids."""
        places = ", ".join("?" * len(transfer_ids))
        with self._reading:
            rows = self._reader.execute(
                "SELECT transfer_id, client, digest, verdict FROM sendings"
                f" WHERE transfer_id IN ({places}) AND client IS NOT NULL",
                transfer_ids,
            ).fetchall()
        return [Sent(Receipt(*receipt), verdict) for *receipt, verdict in rows]

    def prune(self, before_s: float) -> int:
        """Forget some rows first seen before that Unix time; how many they were."""
        with self._writing:
            return self._writer.execute(
                "DELETE FROM sendings WHERE seen_s < ? AND number <"
                " (SELECT min(number) + ? FROM sendings)",
                (before_s, PRUNED_ROWS_MAX),
            ).rowcount

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        self._reader.close()
