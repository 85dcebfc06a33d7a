"""How slices become batches of the chain: small ones grow until they are worth a row.

The table `batches` must grow with the payments, not with polls x partitions. So a
slice joins the batch before it while that one is small; meanwhile it is open, and the
position has its figures. Whoever goes on after somebody else closes what was left open:
the values under its hash were in that worker's memory
(docs/adr/0018-batches-that-grow.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import psycopg

from consumers.bank.batch import Slice
from consumers.bank.position import RECENT_ENDS, OpenBatch, Position, digest_of
from consumers.bank.rules import POSTED
from consumers.bank.verdicts import DECLINED
from once.chain import link
from once.pgbinary import Int8Array

# A batch with so many records, or bytes of values, is closed ...
RECORDS_MIN = 256
BYTES_MIN = 65_536
# ... and so are a partition's first ones, which newcomers look at one by one.
FIRST_BATCHES = 64


class Batch(NamedTuple):
    """A batch after a slice has joined it: a row of `batches` when it is closed."""

    partition: int
    batch_number: int
    first_offset: int
    last_offset: int
    records: int
    posted: int
    declined: int
    hash: bytes
    closed: bool


def join(
    tail: Position, piece: Slice, verdicts: Sequence[int]
) -> tuple[Position, Batch]:
    """The position after a slice with these verdicts, and the batch that it joined."""
    number, before, records = tail.batch_number, tail.open, piece.records
    if before is None:
        number += 1
        now = OpenBatch(tail.hash, records.offsets, records.values, list(verdicts))
    else:
        now = OpenBatch(
            before.previous,
            before.offsets + records.offsets,
            before.values + records.values,
            before.verdicts + list(verdicts),
        )
    digest = link(*now)
    posted = now.verdicts.count(POSTED)
    declined = sum(map(DECLINED.__contains__, now.verdicts))
    closed = number <= FIRST_BATCHES or _is_full(now)
    batch = Batch(
        partition=piece.partition,
        batch_number=number,
        first_offset=now.offsets[0],
        last_offset=now.offsets[-1],
        records=len(now.offsets),
        posted=posted,
        declined=declined,
        hash=digest,
        closed=closed,
    )
    position = Position(
        next_offset=piece.next_offset,
        batch_number=number,
        hash=digest,
        seen_until=max(tail.seen_until, piece.seen_until),
        last_digest=digest_of(records.values[-1]),
        recent=tail.with_this_end(),
        open=None if closed else now,
    )
    return position, batch


def _is_full(batch: OpenBatch) -> bool:
    return (
        len(batch.offsets) >= RECORDS_MIN
        or sum(len(value) for value in batch.values if value) >= BYTES_MIN
    )


class Chains:
    """The statements about the partitions' chains. They raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection, topic: str) -> None:
        self._cursor = connection.cursor(binary=True)
        self._topic = topic

    def hash_after(self, partition: int, batch_number: int, end: int) -> bytes | None:
        """The hash after a batch; None when no such one has `end` behind its last."""
        self._cursor.execute(
            "SELECT hash FROM batches WHERE topic = %b AND partition = %b"
            " AND batch_number = %b AND last_offset + 1 = %b",
            (self._topic, partition, batch_number, end),
        )
        row = self._cursor.fetchone()
        return None if row is None else bytes(row[0])

    def close_left(self, partitions: Sequence[int]) -> None:
        """Give the batches that another worker left open their rows.

        Where a third one has done so, and gone on, it is `advance` that finds out.
        """
        self._cursor.execute(
            "INSERT INTO batches (topic, partition, batch_number, first_offset,"
            " last_offset, records, posted, declined, hash, committed_at)"
            " SELECT topic, partition, batch_number, open_first, hash_offset - 1,"
            "  open_records, open_posted, open_declined, hash, applied_at"
            " FROM positions WHERE topic = %b AND partition = ANY (%b)"
            "  AND open_records > 0 ON CONFLICT DO NOTHING",
            (self._topic, Int8Array(partitions)),
        )

    def save(self, batches: Sequence[Batch]) -> None:
        """Rows for those that are closed; in the positions, where the chains are."""
        closed = [batch for batch in batches if batch.closed]
        if closed:
            self._cursor.executemany(
                "INSERT INTO batches (topic, partition, batch_number, first_offset,"
                " last_offset, records, posted, declined, hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [(self._topic, *batch[:-1]) for batch in closed],
            )
        # What a position had is recent now, and the oldest of that goes.
        self._cursor.execute(
            "UPDATE positions SET hash = u.hash, hash_offset = next_offset,"
            " recent_offsets = (array_remove(recent_offsets || hash_offset, NULL))"
            f"  [greatest(1, cardinality(recent_offsets) - {RECENT_ENDS - 2}):],"
            " recent_hashes = (array_remove(recent_hashes || positions.hash, NULL))"
            f"  [greatest(1, cardinality(recent_hashes) - {RECENT_ENDS - 2}):],"
            " open_first = u.first_offset, open_records = u.records,"
            " open_posted = u.posted, open_declined = u.declined, applied_at = now()"
            " FROM unnest(%b::bigint[], %b::bytea[], %b::bigint[], %b::bigint[],"
            "  %b::bigint[], %b::bigint[])"
            "  AS u (partition, hash, first_offset, records, posted, declined)"
            " WHERE topic = %b AND positions.partition = u.partition",
            (
                Int8Array([batch.partition for batch in batches]),
                [batch.hash for batch in batches],
                Int8Array([batch.first_offset for batch in batches]),
                Int8Array([0 if batch.closed else batch.records for batch in batches]),
                Int8Array([batch.posted for batch in batches]),
                Int8Array([batch.declined for batch in batches]),
                self._topic,
            ),
        )
