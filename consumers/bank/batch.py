"""One poll's records, sorted into slices: one partition's records in offset order.

A slice has transfers, or it has changes of accounts: what is posted together is of one
kind, and in each partition the order of the log is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple

from consumers.bank.change import Change
from consumers.bank.codec import CHANGE, Columns, Fault, Reason, TransferCodec
from consumers.bank.rules import Transfers
from consumers.bank.verdicts import Verdict
from once.headers import headers_of

NO_TRANSFER_ID = bytes(16)

# Faults of records whose columns were nevertheless read.
READABLE = (Reason.BAD_FORM, Reason.KEY_MISMATCH)


@dataclass(slots=True)
class Records:
    """Raw records of one partition, in offset order, by the column."""

    partition: int
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Any]

    def split(self, offset: int) -> tuple[Records, Records]:
        """The records below `offset`, and the others."""
        at = next(
            (i for i, here in enumerate(self.offsets) if here >= offset),
            len(self.offsets),
        )
        return self.part(slice(None, at)), self.part(slice(at, None))

    def joined(self, later: Records) -> Records:
        """These and the ones that follow them."""
        return Records(
            self.partition,
            self.offsets + later.offsets,
            self.keys + later.keys,
            self.values + later.values,
            self.headers + later.headers,
        )

    def part(self, rows: slice) -> Records:
        """Some of the rows."""
        return Records(
            self.partition,
            self.offsets[rows],
            self.keys[rows],
            self.values[rows],
            self.headers[rows],
        )


class Numbered(NamedTuple):
    """Which emitter sent each record, and its how many-th it is in this partition."""

    emitters: Sequence[bytes | None]
    sequences: Sequence[int]
    offsets: Sequence[int]


@dataclass(slots=True)
class Slice:
    """Decoded records of one partition, in offset order.

    `records`, `ids` and `emitters` have every row, and `faults` says by row why one is
    no transfer (its id is all zero and its emitter None where they were not read).
    `transfers` or `changes`, `offsets` and `created_at_ms` have the well-formed rows;
    `numbered` has those that could be read.
    """

    records: Records
    ids: list[bytes]
    emitters: list[bytes | None]
    faults: dict[int, Fault]
    transfers: Transfers
    offsets: Sequence[int]
    created_at_ms: Sequence[int]
    numbered: Numbered
    changes: Sequence[Change] = ()
    seen_until: int = 0  # the log was read up to here, if beyond the last record

    @property
    def partition(self) -> int:
        """The partition of every record."""
        return self.records.partition

    @property
    def next_offset(self) -> int:
        """The position after this slice: last delivered + 1, whatever lies between."""
        return self.records.offsets[-1] + 1

    def all_verdicts(self, verdicts: Sequence[int]) -> list[int]:
        """One verdict per record: those of the well-formed ones, and QUARANTINED."""
        if not self.faults:
            return list(verdicts)
        rest = iter(verdicts)
        return [
            int(Verdict.QUARANTINED) if row in self.faults else next(rest)
            for row in range(len(self.records.offsets))
        ]


def ranges(pieces: Sequence[Records | Slice]) -> str:
    """Which records these are, for a sentence: [0]@5..9, [2]@7..7."""
    parts = [p if isinstance(p, Records) else p.records for p in pieces]
    return ", ".join(f"[{p.partition}]@{p.offsets[0]}..{p.offsets[-1]}" for p in parts)


def group(messages: Sequence[Any], with_headers: bool) -> list[Records]:
    """Kafka messages (without error) as records by partition, in order of partition."""
    by_partition: dict[int, list[Any]] = {}
    for message in messages:
        by_partition.setdefault(message.partition(), []).append(message)
    return [
        Records(
            partition,
            [message.offset() for message in rows],
            [message.key() for message in rows],
            [message.value() for message in rows],
            [headers_of(message) for message in rows] if with_headers else [],
        )
        for partition, rows in sorted(by_partition.items())
    ]


def decode(
    parts: Sequence[Records],
    codec: TransferCodec,
    unread: Mapping[int, Mapping[int, Fault]] = MappingProxyType({}),
) -> list[Slice]:
    """Decode all partitions' records in one go. Raises Retriable (registry away).

    `unread` has, by partition and offset, what is not even tried, and why. A partition
    has more than one slice where both transfers and changes of accounts came.
    """
    values = [value for records in parts for value in records.values]
    keys = [key for records in parts for key in records.keys]
    why = [
        unread.get(records.partition, {}).get(offset)
        for records in (parts if unread else ())
        for offset in records.offsets
    ]
    for row, fault in enumerate(why):
        if fault is not None:
            values[row] = None
    columns, faults = codec.decode(values, keys)
    faults.update((row, fault) for row, fault in enumerate(why) if fault is not None)
    slices: list[Slice] = []
    start = 0
    for records in parts:
        end = start + len(records.offsets)
        mine = {name: column[start:end] for name, column in columns.items()}
        wrong = {
            row - start: fault for row, fault in faults.items() if start <= row < end
        }
        if CHANGE in columns:
            slices += _slices(records, mine, wrong)
        else:
            slices.append(_slice(records, mine, wrong))
        start = end
    return slices


def in_turn(slices: Sequence[Slice]) -> Iterator[Sequence[Slice]]:
    """Batches to be posted one after the other, each of one kind.

    Each takes the first slice that is left of every partition, if that is of its kind.
    """
    if not any(piece.changes for piece in slices):
        yield slices
        return
    left: dict[int, list[Slice]] = {}
    for piece in slices:
        left.setdefault(piece.partition, []).append(piece)
    changing = False
    while left:
        some = [p for p, mine in left.items() if bool(mine[0].changes) is changing]
        changing = not changing
        if some:
            yield [left[partition].pop(0) for partition in some]
            left = {partition: mine for partition, mine in left.items() if mine}


def _slices(
    records: Records, columns: Columns, faults: dict[int, Fault]
) -> Iterator[Slice]:
    """The runs of one kind; a fault goes with what was before it."""
    kinds: list[bool] = []
    for row, change in enumerate(columns[CHANGE]):
        kinds.append(bool(kinds and kinds[-1]) if row in faults else change is not None)
    for _, rows in groupby(range(len(kinds)), kinds.__getitem__):
        first, *more = rows
        run = slice(first, first + 1 + len(more))
        yield _slice(
            records.part(run),
            {name: column[run] for name, column in columns.items()},
            {row - first: faults[row] for row in (first, *more) if row in faults},
        )


def _slice(records: Records, columns: Columns, faults: dict[int, Fault]) -> Slice:
    ids, emitters = columns["transfer_id"], columns["emitter"]
    good, offsets = columns, records.offsets
    read, read_offsets = columns, records.offsets
    if faults:
        unread = {r for r, fault in faults.items() if fault.reason not in READABLE}
        for row in unread:
            ids[row], emitters[row] = NO_TRANSFER_ID, None
        read, read_offsets = _without(columns, records.offsets, unread)
        good, offsets = _without(columns, records.offsets, faults)
    changes = good.get(CHANGE, ())
    if changes and changes[0] is not None:
        good = {name: column[:0] for name, column in good.items()} | {
            "created_at_ms": good["created_at_ms"]
        }
    else:
        changes = ()
    return Slice(
        records=records,
        ids=ids,
        emitters=emitters,
        faults=faults,
        transfers=Transfers(
            partition=records.partition,
            transfer_ids=good["transfer_id"],
            debit_accounts=good["debit_account"],
            credit_accounts=good["credit_account"],
            amounts=good["amount"],
            currencies=good["currency"],
            memos=good["memo"],
        ),
        offsets=offsets,
        created_at_ms=good["created_at_ms"],
        numbered=Numbered(read["emitter"], read["emitter_sequence"], read_offsets),
        changes=changes,
    )


def _without(
    columns: Columns, offsets: list[int], rows: Mapping[int, Any] | set[int]
) -> tuple[Columns, list[int]]:
    keep = [row for row in range(len(offsets)) if row not in rows]
    return (
        {name: [column[row] for row in keep] for name, column in columns.items()},
        [offsets[row] for row in keep],
    )
