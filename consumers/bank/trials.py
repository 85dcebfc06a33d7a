"""Table `trials`: what sessions note of the batches that they begin (see care.py).

Methods raise psycopg.Error as it comes; the caller commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from consumers.bank.care import Owed, Suspect, Trial
from consumers.bank.codec import Reason
from once.pgbinary import Int8Array, Int8ArrayDumper


class Trials:
    """The statements, on one connection to the primary."""

    def __init__(self, connection: psycopg.Connection, topic: str) -> None:
        connection.adapters.register_dumper(Int8Array, Int8ArrayDumper)
        self._cursor = connection.cursor(binary=True)
        self._topic = topic

    def open(self, partitions: Sequence[int]) -> dict[int, Trial]:
        """Note that a session begins where these positions are; what is known then."""
        self._cursor.execute(
            "INSERT INTO trials AS t (topic, partition, next_offset, opens)"
            " SELECT topic, partition, next_offset, 1 FROM positions"
            " WHERE topic = %b AND partition = ANY (%b)"
            " ON CONFLICT (topic, partition) DO UPDATE SET"
            "  opens = CASE WHEN t.next_offset = excluded.next_offset"
            "   THEN t.opens + 1 ELSE 1 END,"
            "  attempts = CASE WHEN t.next_offset = excluded.next_offset"
            "   THEN t.attempts ELSE 0 END,"
            "  records = CASE WHEN t.next_offset = excluded.next_offset"
            "   THEN t.records END,"
            "  next_offset = excluded.next_offset"
            " RETURNING partition, next_offset, opens, records, attempts,"
            "  suspect_until",
            (self._topic, Int8Array(partitions)),
        )
        return {partition: Trial(*rest) for partition, *rest in self._cursor}

    def note(self, suspects: Mapping[int, Suspect]) -> None:
        """A batch that begins at these positions is about to be read, with care."""
        each = suspects.values()
        self._cursor.execute(
            "UPDATE trials AS t SET attempts = CASE"
            "  WHEN t.next_offset = u.next_offset AND t.records = u.records"
            "  THEN t.attempts + 1 ELSE 1 END,"
            " records = u.records, suspect_until = u.suspect_until,"
            " next_offset = u.next_offset"
            " FROM unnest(%b, %b, %b, %b)"
            "  AS u (partition, next_offset, records, suspect_until)"
            " WHERE topic = %b AND t.partition = u.partition",
            (
                Int8Array(list(suspects)),
                Int8Array([suspect.position for suspect in each]),
                Int8Array([suspect.records for suspect in each]),
                Int8Array([suspect.until for suspect in each]),
                self._topic,
            ),
        )

    def leave(self, owed: Mapping[int, Owed]) -> None:
        """Take back what a session that ended in order had noted."""
        each = owed.values()
        self._cursor.execute(
            "UPDATE trials AS t SET opens = 0,"
            " attempts = greatest(0, t.attempts - u.noted)"
            " FROM unnest(%b, %b, %b) AS u (partition, next_offset, noted)"
            " WHERE topic = %b AND t.partition = u.partition"
            " AND t.next_offset = u.next_offset",
            (
                Int8Array(list(owed)),
                Int8Array([one.position for one in each]),
                Int8Array([int(one.noted) for one in each]),
                self._topic,
            ),
        )

    def acquit(self, partition: int) -> None:
        """The record that was to blame is aside: all others are beyond suspicion."""
        self._cursor.execute(
            "UPDATE trials SET opens = 0, attempts = 0, records = NULL,"
            " suspect_until = 0 WHERE topic = %b AND partition = %b",
            (self._topic, partition),
        )

    def aside_lately(self, partition: int) -> int:
        """How many records of a partition were set aside for this within an hour."""
        self._cursor.execute(
            "SELECT count(*) FROM quarantine WHERE topic = %b AND partition = %b"
            " AND reason = %b AND quarantined_at > now() - interval '1 hour'",
            (self._topic, partition, Reason.ENDS_WORKERS.value),
        )
        row = self._cursor.fetchone()
        return int(row[0]) if row else 0
