"""The ledger as the audit sees it: one snapshot of the primary, read only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from once.pgbinary import UuidArray, UuidArrayDumper
from once.postgres import from_postgres


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger: where it came from, what was decided, what it says."""

    partition: int
    offset: int
    verdict: int
    content: tuple[Any, ...]  # debit, credit, amount, currency, memo, created_at_ms


class Snapshot:
    """Everything read here is of one moment. Raises psycopg.Error."""

    def __init__(self, conninfo: str) -> None:
        """Raises Retriable when the primary is away."""
        try:
            self.connection = psycopg.connect(
                conninfo, application_name="audit", autocommit=False
            )
            self.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self.connection.read_only = True
            self.connection.adapters.register_dumper(UuidArray, UuidArrayDumper)
            self.connection.execute("SELECT 1")  # the snapshot is taken here
        except psycopg.Error as error:
            raise from_postgres(error, "opening the audit's snapshot") from error
        self._cursor = self.connection.cursor(binary=True)

    def close(self) -> None:
        """End the snapshot."""
        self.connection.close()

    def positions(self, topic: str) -> dict[int, tuple[int, int]]:
        """(next offset, batch number) by partition."""
        rows = self.connection.execute(
            "SELECT partition, next_offset, batch_number FROM positions"
            " WHERE topic = %s ORDER BY partition",
            (topic,),
        )
        return {partition: (due, number) for partition, due, number in rows}

    def batches(self, topic: str, partition: int) -> Iterator[tuple[Any, ...]]:
        """(number, first offset, last offset, records, hash) in order."""
        with self.connection.cursor(f"batches_{partition}") as cursor:
            cursor.execute(
                "SELECT batch_number, first_offset, last_offset, records, hash"
                " FROM all_batches WHERE topic = %s AND partition = %s"
                " ORDER BY batch_number",
                (topic, partition),
            )
            yield from cursor

    def entries(self, transfer_ids: Sequence[bytes]) -> dict[bytes, Entry]:
        """The rows of these ids."""
        self._cursor.execute(
            "SELECT transfer_id, partition, record_offset, verdict, debit_account,"
            " credit_account, amount, currency, memo, created_at_ms"
            " FROM transfers WHERE transfer_id = ANY (%b)",
            (UuidArray(transfer_ids),),
        )
        return {
            row[0].bytes: Entry(row[1], row[2], row[3], row[4:])
            for row in self._cursor.fetchall()  # quicker than one after the other
        }

    def absent(self, transfer_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these ids that are in no row."""
        self._cursor.execute(
            "SELECT transfer_id FROM transfers WHERE transfer_id = ANY (%b)",
            (UuidArray(transfer_ids),),
        )
        return set(transfer_ids) - {row[0].bytes for row in self._cursor.fetchall()}

    def quarantined(
        self, topic: str, partition: int, first: int, last: int
    ) -> dict[int, str]:
        """Reasons by offset of what is in quarantine from first to last."""
        rows = self.connection.execute(
            "SELECT record_offset, reason FROM quarantine"
            " WHERE topic = %s AND partition = %s AND record_offset BETWEEN %s AND %s",
            (topic, partition, first, last),
        )
        return dict(rows.fetchall())

    def offsets(self, partition: int, low: int) -> Iterator[tuple[int, Any]]:
        """(offset, transfer_id) of a partition's rows from `low` on, in order."""
        with self.connection.cursor(f"offsets_{partition}") as cursor:
            cursor.execute(
                "SELECT record_offset, transfer_id FROM transfers"
                " WHERE partition = %s AND record_offset >= %s ORDER BY 1",
                (partition, low),
            )
            yield from cursor

    def rows_from(self, partition: int, low: int) -> tuple[int, int]:
        """Ledger rows of a partition below and from offset `low` on."""
        row = self.connection.execute(
            "SELECT count(*) FILTER (WHERE record_offset < %s),"
            " count(*) FILTER (WHERE record_offset >= %s)"
            " FROM transfers WHERE partition = %s",
            (low, low, partition),
        ).fetchone()
        assert row is not None, "an aggregate has one row"
        return row[0], row[1]

    def other_partitions(self, partitions: Sequence[int]) -> list[tuple[Any, ...]]:
        """Some rows that claim to come from a partition without a position."""
        return self.connection.execute(
            "SELECT transfer_id, partition, record_offset FROM transfers"
            " WHERE NOT partition = ANY (%s) LIMIT 20",
            (list(partitions),),
        ).fetchall()
