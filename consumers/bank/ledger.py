"""The ledger's SQL, one statement a method, set-based: every call takes a whole batch.

All of it runs in one Postgres transaction that the caller commits (see posting.py).
Methods raise psycopg.Error as it comes; the caller decides what it means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from consumers.bank.batch import Slice
from consumers.bank.codec import UNJUDGED
from consumers.bank.position import Position, digest_of
from consumers.bank.rules import Account, Payload
from once.pgbinary import (
    HEADER,
    TRAILER,
    CopyLayout,
    Int8Array,
    Int8ArrayDumper,
    UuidArray,
    UuidArrayDumper,
)
from once.sequence import Gap

ACCOUNTS_LOCK = 6071020  # shared by postings, exclusive for a change of accounts

_TRANSFERS = CopyLayout(
    [
        ("transfer_id", "bytes16"),
        ("debit_account", "int8"),
        ("credit_account", "int8"),
        ("amount", "int8"),
        ("debits_after", "int8"),
        ("created_at_ms", "int8"),
        ("record_offset", "int8"),
        ("partition", "int4"),
        ("verdict", "int2"),
        ("currency", "bytes3"),
    ],
    text="memo",
)
_COPY_TRANSFERS = (
    f"COPY transfers ({', '.join(_TRANSFERS.names)}) FROM STDIN (FORMAT binary)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says of one transfer_id."""

    partition: int
    record_offset: int
    verdict: int
    payload: Payload


class Held(NamedTuple):
    """How accounts stand while they are held."""

    epoch: int
    changed: int  # the last epoch in which one was changed, and not only opened
    applied: Sequence[int]  # up to which offset, by partition from 0 on


class Ledger:
    """The statements of the Bank, on one connection to the primary."""

    def __init__(self, connection: psycopg.Connection, topic: str) -> None:
        self.connection = connection
        self.topic = topic
        connection.adapters.register_dumper(Int8Array, Int8ArrayDumper)
        connection.adapters.register_dumper(UuidArray, UuidArrayDumper)
        self._cursor = connection.cursor(binary=True)

    def advance(
        self,
        slices: Sequence[Slice],
        positions: Mapping[int, int],
        growing: Collection[int] = (),
    ) -> bool:
        """Compare-and-set every position; False when another owner moved one.

        In the partitions `growing` the batch before goes on, elsewhere one begins.
        """
        self._cursor.execute(
            "UPDATE positions SET next_offset = u.next_offset,"
            " batch_number = batch_number + u.begun, last_digest = u.last_digest,"
            " seen_until = greatest(positions.seen_until, u.seen_until)"
            " FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],"
            "  %b::bytea[], %b::bigint[])"
            "  AS u (partition, expected, next_offset, seen_until, last_digest, begun)"
            " WHERE topic = %b AND positions.partition = u.partition"
            " AND positions.next_offset = u.expected",
            (
                Int8Array([s.partition for s in slices]),
                Int8Array([positions[s.partition] for s in slices]),
                Int8Array([s.next_offset for s in slices]),
                Int8Array([s.seen_until for s in slices]),
                [digest_of(s.records.values[-1]) for s in slices],
                Int8Array([int(s.partition not in growing) for s in slices]),
                self.topic,
            ),
        )
        return self._cursor.rowcount == len(slices)

    def touch(self, partitions: Sequence[int]) -> dict[int, int]:
        """The positions now, by a write: it waits for whoever is changing them."""
        self._cursor.execute(
            "UPDATE positions SET next_offset = next_offset"
            " WHERE topic = %b AND partition = ANY (%b)"
            " RETURNING partition, next_offset",
            (self.topic, Int8Array(partitions)),
        )
        return dict(self._cursor.fetchall())

    def open_positions(
        self, partitions: Sequence[int], topic_id: str
    ) -> dict[int, tuple[str, Position]]:
        """Topic id and position of each partition; a new one starts at offset 0."""
        self._cursor.execute(
            "INSERT INTO positions (topic, partition, topic_id, next_offset)"
            " SELECT %b, partition, %b, 0 FROM unnest(%b) AS u (partition)"
            " ON CONFLICT DO NOTHING",
            (self.topic, topic_id, Int8Array(partitions)),
        )
        self._cursor.execute(
            "SELECT partition, topic_id, next_offset, batch_number,"
            " CASE WHEN current THEN p.hash"
            "  ELSE coalesce(b.hash, decode(repeat('00', 32), 'hex')) END,"
            " seen_until, last_digest, recent_offsets, recent_hashes,"
            " current AND open_records > 0"
            " FROM positions AS p"
            " LEFT JOIN batches AS b USING (topic, partition, batch_number),"
            " LATERAL (SELECT coalesce(hash_offset = next_offset, false))"
            "  AS c (current)"
            " WHERE topic = %b AND partition = ANY (%b)",
            (self.topic, Int8Array(partitions)),
        )
        return {
            row[0]: (
                row[1],
                Position(
                    next_offset=row[2],
                    batch_number=row[3],
                    hash=row[4],
                    seen_until=row[5],
                    last_digest=row[6],
                    recent=tuple(zip(row[7], row[8], strict=True)),
                    left_open=row[9],
                ),
            )
            for row in self._cursor
        }

    def note_seen(self, seen: Mapping[int, int]) -> None:
        """Remember how far the log was read, by partition."""
        self._cursor.execute(
            "UPDATE positions SET seen_until = greatest(positions.seen_until, u.seen)"
            " FROM unnest(%b, %b) AS u (partition, seen)"
            " WHERE topic = %b AND positions.partition = u.partition",
            (Int8Array(list(seen)), Int8Array(list(seen.values())), self.topic),
        )

    def identity(self) -> str:
        """Which ledger this is: a UUID that a copy of it has, too."""
        row = self._cursor.execute("SELECT ledger_id FROM ledger_identity").fetchone()
        assert row is not None, "the migration put the one row there"
        return str(row[0])

    def hold_accounts(self) -> Held:
        """Keep accounts from being changed until COMMIT; how they stand."""
        self._cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%b)", (ACCOUNTS_LOCK,)
        )
        self._cursor.execute(
            "SELECT epoch, changed, applied(%b) FROM accounts_epoch", (self.topic,)
        )
        row = self._cursor.fetchone()
        assert row is not None, "the migration put the one row there"
        return Held(*row)

    def rows(self, transfer_ids: Sequence[bytes]) -> dict[bytes, Row]:
        """What is in the ledger of these ids."""
        self._cursor.execute(
            "SELECT transfer_id, partition, record_offset, verdict, debit_account,"
            " credit_account, amount, currency, memo"
            " FROM transfers WHERE transfer_id = ANY (%b)",
            (UuidArray(transfer_ids),),
        )
        return {
            row[0].bytes: Row(
                row[1], row[2], row[3], (*row[4:7], row[7].encode(), row[8])
            )
            for row in self._cursor
        }

    def accounts(self, numbers: Sequence[int]) -> dict[int, Account]:
        """Those of the accounts that exist, freshly read."""
        self._cursor.execute(
            "SELECT account, currency, status, credit_limit, debits,"
            " coalesce((SELECT sum(credits) FROM credits"
            "  WHERE credits.account = accounts.account), 0)::bigint"
            " FROM accounts WHERE account = ANY (%b)",
            (Int8Array(numbers),),
        )
        return {
            number: Account(currency.encode(), status, credits - debits + limit, debits)
            for number, currency, status, limit, debits, credits in self._cursor
        }

    def insert_decision(
        self, slices: Sequence[Slice], positions: Mapping[int, Position], held: Held
    ) -> None:
        """Keep what a batch saw; `positions` are those before it.

        Epoch 0 says that its verdicts were told, and not decided.
        """
        self._cursor.execute(
            "INSERT INTO decisions (topic, epoch, partitions, first_offsets,"
            " next_offsets, before, after)"
            " VALUES (%b, %b, %b::bigint[], %b, %b, %b, applied(%b))",
            (
                self.topic,
                held.epoch,
                Int8Array([piece.partition for piece in slices]),
                Int8Array([positions[piece.partition].next_offset for piece in slices]),
                Int8Array([piece.next_offset for piece in slices]),
                Int8Array(held.applied),
                self.topic,
            ),
        )

    def insert_transfers(
        self,
        slices: Sequence[Slice],
        verdicts: Sequence[Sequence[int]],
        debits_after: Sequence[Sequence[int]],
        verdict_max: int,
    ) -> None:
        """COPY every transfer whose verdict is at most `verdict_max`."""
        blocks = [HEADER]
        for piece, mine, after in zip(slices, verdicts, debits_after, strict=True):
            transfers = piece.transfers
            columns: dict[str, Sequence[object]] = {
                "transfer_id": transfers.transfer_ids,
                "debit_account": transfers.debit_accounts,
                "credit_account": transfers.credit_accounts,
                "amount": transfers.amounts,
                "debits_after": after,
                "created_at_ms": piece.created_at_ms,
                "record_offset": piece.offsets,
                "partition": [piece.partition] * len(mine),
                "verdict": mine,
                "currency": transfers.currencies,
                "memo": transfers.memos,
            }
            if mine and max(mine) > verdict_max:
                keep = [row for row, v in enumerate(mine) if v <= verdict_max]
                columns = {
                    name: [column[row] for row in keep]
                    for name, column in columns.items()
                }
            blocks.append(_TRANSFERS.rows(columns))
        blocks.append(TRAILER)
        with self._cursor.copy(_COPY_TRANSFERS) as copy:
            copy.write(b"".join(blocks))

    def add_debits(self, sums: Mapping[int, int], after: Mapping[int, Account]) -> bool:
        """Add to accounts' debits; False when one was not what we decided on."""
        numbers = sorted(sums)
        debits = [after[number].debits for number in numbers]
        self._cursor.execute(
            "UPDATE accounts SET debits = u.debits"
            " FROM unnest(%b, %b, %b) AS u (account, expected, debits)"
            " WHERE accounts.account = u.account AND accounts.debits = u.expected",
            (
                Int8Array(numbers),
                Int8Array([d - sums[n] for n, d in zip(numbers, debits, strict=True)]),
                Int8Array(debits),
            ),
        )
        return self._cursor.rowcount == len(numbers)

    def add_credits(self, sums: Mapping[tuple[int, int], int]) -> None:
        """Add to the credits of each (account, shard).

        In one order for everybody: two workers that meet in a row wait, and never for
        each other.
        """
        places = sorted(sums)
        self._cursor.execute(
            "INSERT INTO credits (account, shard, credits)"
            " SELECT * FROM unnest(%b, %b, %b)"
            " ON CONFLICT (account, shard)"
            " DO UPDATE SET credits = credits.credits + excluded.credits",
            (
                Int8Array([account for account, _ in places]),
                Int8Array([shard for _, shard in places]),
                Int8Array([sums[place] for place in places]),
            ),
        )

    def insert_quarantine(self, pieces: Sequence[Slice]) -> None:
        """Every faulty record with its bytes and the reason."""
        rows = [
            (
                self.topic,
                piece.partition,
                piece.records.offsets[row],
                fault.reason.value,
                fault.detail,
                piece.records.keys[row],
                piece.records.values[row],
            )
            for piece in pieces
            for row, fault in piece.faults.items()
        ]
        self._cursor.executemany(
            "INSERT INTO quarantine (topic, partition, record_offset, reason, detail,"
            " record_key, record_value) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            rows,
        )

    def quarantined(self, partition: int, first: int, last: int) -> dict[int, str]:
        """Reasons by offset of what is in quarantine between two offsets, included."""
        self._cursor.execute(
            "SELECT record_offset, reason FROM quarantine WHERE topic = %b"
            " AND partition = %b AND record_offset BETWEEN %b AND %b",
            (self.topic, partition, first, last),
        )
        return dict(self._cursor.fetchall())

    def unread_between(self, partition: int, first: int, end: int) -> int:
        """How many records from first up to end were set aside without being judged."""
        self._cursor.execute(
            "SELECT count(*) FROM quarantine WHERE topic = %b AND partition = %b"
            " AND record_offset >= %b AND record_offset < %b"
            " AND reason = ANY (%b)",
            (self.topic, partition, first, end, [reason.value for reason in UNJUDGED]),
        )
        row = self._cursor.fetchone()
        return int(row[0]) if row else 0

    def marks(self, partition: int, emitters: Iterable[bytes]) -> dict[bytes, int]:
        """The sequence number due next from each emitter that was seen before."""
        self._cursor.execute(
            "SELECT emitter, next_sequence FROM emitters"
            " WHERE partition = %b AND emitter = ANY (%b)",
            (partition, UuidArray(list(emitters))),
        )
        return {emitter.bytes: due for emitter, due in self._cursor}

    def save_marks(self, marks: Mapping[int, Mapping[bytes, int]]) -> None:
        """Keep the marks, by partition and emitter."""
        keys = [(p, emitter) for p, mine in marks.items() for emitter in mine]
        self._cursor.execute(
            "INSERT INTO emitters (emitter, partition, next_sequence)"
            " SELECT * FROM unnest(%b, %b, %b)"
            " ON CONFLICT (emitter, partition)"
            " DO UPDATE SET next_sequence = excluded.next_sequence",
            (
                UuidArray([emitter for _, emitter in keys]),
                Int8Array([partition for partition, _ in keys]),
                Int8Array([marks[partition][emitter] for partition, emitter in keys]),
            ),
        )

    def insert_gaps(self, gaps: Mapping[int, Sequence[Gap]]) -> None:
        """Keep what is missing, by partition."""
        self._cursor.executemany(
            "INSERT INTO emitter_gaps (emitter, partition, record_offset,"
            " expected_sequence, found_sequence)"
            " VALUES (encode(%s, 'hex')::uuid, %s, %s, %s, %s)",
            [
                (gap.emitter, partition, gap.offset, gap.expected, gap.found)
                for partition, mine in gaps.items()
                for gap in mine
            ],
        )
