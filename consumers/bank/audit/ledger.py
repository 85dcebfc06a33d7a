"""The ledger as the audit sees it: one snapshot of the primary, read only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from consumers.bank.audit.behind import Applied
from consumers.bank.audit.changes import ChangeRow
from consumers.bank.audit.changes import Terms as AccountTerms
from consumers.bank.audit.decisions import Decision, Spans
from consumers.bank.audit.judged import Numbers
from consumers.bank.audit.sums import Events
from consumers.bank.audit.terms import STATUSES, Terms
from consumers.bank.change import Asked
from once.pgbinary import Int8Array, Int8ArrayDumper, UuidArray, UuidArrayDumper
from once.postgres import from_postgres

ROWS_AT_ONCE = 50_000
_CHANGES = (
    "SELECT change, account, epoch, change_id, verdict, must_be_new, new_currency,"
    " new_credit_limit, new_status, reason, changed_by, currency, status, credit_limit,"
    " created_at_ms,"
    " coalesce(partition, -1), coalesce(record_offset, -1)"
    " FROM account_changes"
)
# Whatever claims to come from a partition of the log.
_ROWS = (
    "SELECT record_offset, transfer_id FROM transfers WHERE partition = %s"
    " UNION ALL"
    " SELECT record_offset, change_id FROM account_changes WHERE partition = %s"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger: where it came from, what was decided, what it says."""

    partition: int
    offset: int
    verdict: int
    content: tuple[Any, ...]  # debit, credit, amount, currency, memo, created_at_ms


@dataclass(frozen=True, slots=True)
class Entries:
    """The rows of some ids by the column; partition -1 where there is none."""

    partitions: list[int]
    offsets: list[int]
    verdicts: list[int]
    debit_accounts: list[int]
    credit_accounts: list[int]
    amounts: list[int]
    currencies: list[bytes]
    memos: list[str]
    created_at_ms: list[int]
    debits_after: list[int]

    def entry(self, row: int) -> Entry | None:
        """One of the rows, None where there is none."""
        if self.partitions[row] < 0:
            return None
        content = (
            self.debit_accounts[row],
            self.credit_accounts[row],
            self.amounts[row],
            self.currencies[row].decode(),
            self.memos[row],
            self.created_at_ms[row],
        )
        return Entry(
            self.partitions[row], self.offsets[row], self.verdicts[row], content
        )


class Snapshot:
    """Everything read here is of one moment. Raises psycopg.Error."""

    def __init__(self, conninfo: str, of: str | None = None) -> None:
        """`of` is the name of another Snapshot, to see the same moment.

        Raises Retriable when the primary is away.
        """
        try:
            self.connection = psycopg.connect(
                conninfo, application_name="audit", autocommit=False
            )
            self.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self.connection.read_only = True
            self.connection.adapters.register_dumper(UuidArray, UuidArrayDumper)
            self.connection.adapters.register_dumper(Int8Array, Int8ArrayDumper)
            if of is not None:
                self.connection.execute(f"SET TRANSACTION SNAPSHOT '{of}'".encode())
            row = self.connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None, "a SELECT without FROM has one row"
            self.name: str = row[0]  # the snapshot is taken
        except psycopg.Error as error:
            raise from_postgres(error, "opening the audit's snapshot") from error
        self._cursor = self.connection.cursor(binary=True)

    def close(self) -> None:
        """End the snapshot."""
        self.connection.close()

    def positions(self, topic: str) -> dict[int, Applied]:
        """How far each partition is applied."""
        rows = self.connection.execute(
            "SELECT partition, next_offset, batch_number,"
            " greatest(next_offset, seen_until) FROM positions"
            " WHERE topic = %s ORDER BY partition",
            (topic,),
        )
        return {partition: Applied(*rest) for partition, *rest in rows}

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

    def entries(self, transfer_ids: Sequence[bytes]) -> Entries:
        """The rows of these ids, in this order."""
        self._cursor.execute(
            "SELECT array_agg(coalesce(partition, -1)),"
            " array_agg(coalesce(record_offset, -1)), array_agg(coalesce(verdict, 0)),"
            " array_agg(coalesce(debit_account, 0)),"
            " array_agg(coalesce(credit_account, 0)), array_agg(coalesce(amount, 0)),"
            " array_agg(convert_to(coalesce(currency, ''), 'UTF8')),"
            " array_agg(coalesce(memo, '')), array_agg(coalesce(created_at_ms, 0)),"
            " array_agg(coalesce(debits_after, 0))"
            " FROM (SELECT t.* FROM unnest(%b) WITH ORDINALITY AS u (id, row)"
            "  LEFT JOIN LATERAL"
            "   (SELECT * FROM transfers WHERE transfer_id = u.id LIMIT 1) AS t ON true"
            "  ORDER BY row) AS t",
            (UuidArray(transfer_ids),),
        )
        found = self._cursor.fetchone()
        assert found is not None, "an aggregate has one row"
        return Entries(*found)

    def absent(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of these ids, of transfers or changes, that are in no row."""
        self._cursor.execute(
            "SELECT id FROM unnest(%b) AS u (id) WHERE NOT EXISTS"
            " (SELECT FROM transfers WHERE transfer_id = id) AND NOT EXISTS"
            " (SELECT FROM account_changes WHERE change_id = id)",
            (UuidArray(ids),),
        )
        return {row[0].bytes for row in self._cursor.fetchall()}

    def terms(self) -> Terms:
        """The history of all accounts."""
        *numbers, currencies = self._columns(
            "SELECT account, epoch, array_position(%s::text[], status) - 1,"
            " credit_limit, currency FROM account_changes WHERE verdict = 12"
            " ORDER BY account, epoch, change",
            (list(STATUSES),),
            width=5,
        )
        accounts, epochs, statuses, limits = map(_numbers, numbers)
        return Terms(accounts, epochs, statuses, limits, _joined(currencies, "S3"))

    def changes(self, change_ids: Sequence[bytes]) -> dict[bytes, ChangeRow]:
        """The history's rows of these ids."""
        self._cursor.execute(
            _CHANGES.encode() + b" WHERE change_id = ANY (%b)",
            (UuidArray(change_ids),),
        )
        rows = map(_change, self._cursor)
        return {row.change_id: row for row in rows if row.change_id is not None}

    def all_changes(self) -> Iterator[list[ChangeRow]]:
        """The whole history, account by account, in the order of deciding."""
        with self.connection.cursor("history", binary=True) as cursor:
            cursor.execute(_CHANGES.encode() + b" ORDER BY account, change")
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield [_change(row) for row in rows]

    def by_hand_until(self) -> int:
        """The last row of the history that was written by hand."""
        query = "SELECT by_hand_until FROM accounts_epoch"
        row = self.connection.execute(query).fetchone()
        assert row is not None, "the migration put the one row there"
        return int(row[0])

    def spans(self, topic: str, partition: int) -> Spans:
        """The decisions of a partition."""
        columns = self._columns(
            "SELECT first_offset, next_offset, decision, epoch"
            " FROM decisions, unnest(partitions, first_offsets, next_offsets)"
            "  AS u (partition, first_offset, next_offset)"
            " WHERE topic = %s AND partition = %s",
            (topic, partition),
            width=4,
        )
        return Spans(*map(_numbers, columns))

    def decisions(self, numbers: Sequence[int]) -> dict[int, Decision]:
        """These decisions, with all that they saw."""
        rows = self.connection.execute(
            "SELECT decision, partitions, first_offsets, next_offsets, before, after"
            " FROM decisions WHERE decision = ANY (%s)",
            (list(numbers),),
            binary=True,
        )
        return {number: Decision(*rest) for number, *rest in rows}

    def events(self, accounts: Numbers) -> Iterator[tuple[int, Events]]:
        """What moved the money of each of these accounts, where anything did."""
        with self.connection.cursor("events", binary=True) as cursor:
            cursor.execute(
                "SELECT * FROM ("
                " SELECT credit_account AS account, partition, record_offset, amount"
                "  FROM transfers WHERE verdict = 1 AND credit_account = ANY (%(all)b)"
                " UNION ALL"
                " SELECT debit_account, partition, record_offset, -amount"
                "  FROM transfers WHERE verdict = 1 AND debit_account = ANY (%(all)b)"
                ") AS moved ORDER BY account",
                {"all": Int8Array(accounts.tolist())},
            )
            rest = np.zeros((0, 4), np.int64)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                table = np.concatenate((rest, np.array(rows, np.int64)))
                starts = np.flatnonzero(np.diff(table[:, 0])) + 1
                *whole, rest = np.split(table, starts)
                yield from map(_events, whole)
            if len(rest):
                yield _events(rest)

    def _columns(
        self, query: str, values: Sequence[Any], width: int
    ) -> list[list[npt.NDArray[Any]]]:
        """The rows of a query by the column, in pieces: no row lives for long."""
        columns: list[list[npt.NDArray[Any]]] = [[] for _ in range(width)]
        with self.connection.cursor("columns", binary=True) as cursor:
            cursor.execute(query.encode(), values)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                for column, piece in zip(columns, zip(*rows, strict=True), strict=True):
                    column.append(np.array(piece))
        return columns

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
        """(offset, id) of a partition's rows from `low` on, in order."""
        with self.connection.cursor(f"offsets_{partition}") as cursor:
            cursor.execute(
                f"SELECT * FROM ({_ROWS}) AS rows WHERE record_offset >= %s ORDER BY 1",
                (partition, partition, low),
            )
            yield from cursor

    def rows_from(self, partition: int, low: int) -> tuple[int, int]:
        """Ledger rows of a partition below and from offset `low` on."""
        row = self.connection.execute(
            "SELECT count(*) FILTER (WHERE record_offset < %s),"
            " count(*) FILTER (WHERE record_offset >= %s)"
            f" FROM ({_ROWS}) AS rows",
            (low, low, partition, partition),
        ).fetchone()
        assert row is not None, "an aggregate has one row"
        return row[0], row[1]

    def other_partitions(self, partitions: Sequence[int]) -> list[tuple[Any, ...]]:
        """Some rows that claim to come from a partition without a position."""
        return self.connection.execute(
            "SELECT transfer_id, partition, record_offset FROM transfers"
            " WHERE NOT partition = ANY (%s)"
            " UNION ALL"
            " SELECT change_id, partition, record_offset FROM account_changes"
            " WHERE partition IS NOT NULL AND NOT partition = ANY (%s) LIMIT 20",
            (list(partitions), list(partitions)),
        ).fetchall()


def _change(row: Sequence[Any]) -> ChangeRow:
    number, account, epoch, change_id, verdict, must_be_new, *asked = row[:11]
    currency, limit, status, reason, changed_by = asked
    return ChangeRow(
        number,
        account,
        epoch,
        change_id and change_id.bytes,
        verdict,
        Asked(account, must_be_new, currency, limit, status, reason, changed_by),
        AccountTerms(*row[11:14]),
        *row[14:],
    )


def _joined(pieces: list[npt.NDArray[Any]], kind: str) -> npt.NDArray[Any]:
    return np.concatenate(
        [np.zeros(0, kind), *(piece.astype(kind) for piece in pieces)]
    )


def _numbers(pieces: list[npt.NDArray[Any]]) -> Numbers:
    return _joined(pieces, "i8")


def _events(rows: Numbers) -> tuple[int, Events]:
    """Those of one account, of (account, partition, offset, amount) each."""
    return int(rows[0, 0]), Events(rows[:, 1], rows[:, 2], rows[:, 3])
