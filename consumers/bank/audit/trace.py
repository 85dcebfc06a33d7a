"""Follows the log through the ledger, record by record (I1, I2, I3, I6, I10, I11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from consumers.bank.audit.chain import Chain
from consumers.bank.audit.changes import ChangeRow, Following
from consumers.bank.audit.gaps import Gaps
from consumers.bank.audit.judge import Judge
from consumers.bank.audit.judged import Emitters, Judged, Rows
from consumers.bank.audit.ledger import Entries, Entry, Snapshot
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.topics import Topics
from consumers.bank.change import Change
from consumers.bank.codec import (
    CHANGE,
    UNJUDGED,
    Columns,
    Fault,
    Reason,
    TransferCodec,
)

Mask = npt.NDArray[np.bool_]

POSTED, EXISTS, DIFFERENT, QUARANTINED, MISSING = 1, 9, 10, 11, 0
DECLINED = (2, 3, 4, 5, 6, 7, 8, 13, 14)
CONTENT = (
    *("debit_account", "credit_account", "amount", "currency", "memo"),
    "created_at_ms",
)
PAYLOAD_FIELDS = 5  # created_at_ms is no part of what a repeat is compared by
UNREAD = bytes(16)
READ = (Reason.BAD_FORM, Reason.KEY_MISMATCH)  # their ids and emitters were read


class _Read(NamedTuple):
    """Records of one partition, and what the ledger has of them."""

    offsets: list[int]
    values: list[bytes | None]
    aside: dict[int, str]  # reasons by offset
    columns: Columns
    faults: dict[int, Fault]
    entries: Entries
    changes: dict[int, Change]  # by row, where a record is one
    history: dict[bytes, ChangeRow]  # of their ids


@dataclass(slots=True)
class Trace:
    """What following the log has shown so far."""

    topics: Topics
    snapshot: Snapshot
    codec: TransferCodec
    topic: str
    evidence: Evidence
    judge: Judge
    verdicts: Counter[int] = field(default_factory=Counter)

    def partition(
        self, partition: int, low: int, until: int, batch_number: int
    ) -> Iterator[Judged]:
        """Check one partition from where its log begins up to its position, giving out
        what was judged."""
        chain = Chain(self.evidence, self.snapshot, self.topic, partition, low)
        gaps = Gaps(self.evidence, partition, complete=low == 0)
        own = 0
        for judged in self.judged(partition, low, until, self.evidence):
            own += judged.own
            self.judge.hear(partition, judged.rows)
            self.verdicts.update(judged.verdicts)
            chain.add(judged)
            gaps.add(judged)
            yield judged
        chain.end(until, batch_number)
        self._strays(partition, low, until, own)

    def judged(
        self, partition: int, start: int, until: int, evidence: Evidence
    ) -> Iterator[Judged]:
        """Every committed record in the range with its verdict, worked out again.

        Postgres looks up the ids of some records while those before are judged.
        """
        waiting: Future[_Read] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="ledger") as ledger:
            for messages in self.topics.read(self.topic, partition, start, until):
                reading = ledger.submit(self._read, partition, messages)
                if waiting is not None:
                    yield self._judge(partition, waiting.result(), evidence)
                waiting = reading
            if waiting is not None:
                yield self._judge(partition, waiting.result(), evidence)

    def _read(self, partition: int, messages: Sequence[Any]) -> _Read:
        offsets = [message.offset() for message in messages]
        values = [message.value() for message in messages]
        keys = [message.key() for message in messages]
        aside = self.snapshot.quarantined(
            self.topic, partition, offsets[0], offsets[-1]
        )
        readable = [
            None if aside.get(offset) == Reason.ENDS_WORKERS else value
            for offset, value in zip(offsets, values, strict=True)
        ]
        columns, faults = self.codec.decode(readable, keys)
        entries = self.snapshot.entries(columns["transfer_id"])
        changes = {
            row: change
            for row, change in enumerate(columns.get(CHANGE, ()))
            if change is not None and row not in faults
        }
        asked = [change.change_id for change in changes.values()]
        history = self.snapshot.changes(asked) if asked else {}
        return _Read(offsets, values, aside, columns, faults, entries, changes, history)

    def _judge(self, partition: int, read: _Read, evidence: Evidence) -> Judged:
        offsets, values, aside, columns, faults, entries, changes, history = read
        ids = columns["transfer_id"]
        is_own = _where_own(entries, partition, offsets)
        plain = is_own & _where_same(entries, columns)
        plain[list(faults)] = False
        verdicts, own = list(entries.verdicts), int(is_own.sum())
        following = Following(self.topic, evidence)
        if aside:
            plain[[row for row, offset in enumerate(offsets) if offset in aside]] = (
                False
            )
        for row in np.flatnonzero(~plain).tolist():
            entry, mine = entries.entry(row), bool(is_own[row])
            where = f"{self.topic}[{partition}]@{offsets[row]}"
            if offsets[row] in aside:
                verdicts[row] = QUARANTINED
                reason = aside[offsets[row]]
                _check_aside(where, reason, row in faults, mine, evidence)
            elif change := changes.get(row):
                if mine:
                    evidence.broken("I3", f"{where} is no transfer, and has a row")
                verdicts[row], has_row = following.verdict(
                    (partition, offsets[row]), change, history.get(change.change_id)
                )
                own += has_row
            elif row in faults or entry is None:
                verdicts[row] = MISSING
                evidence.broken("I1", _missing(where, ids[row], faults.get(row)))
            else:
                verdicts[row] = _verdict(
                    where, entry, mine, _content(columns, row), evidence
                )
        evidence.saw("I1", len(offsets))
        evidence.saw("I2", len(offsets))
        evidence.saw("I3", own)
        unread = _unread(faults) | {
            row
            for row, offset in enumerate(offsets)
            if offset in aside and aside[offset] not in READ
        }
        senders = columns["emitter"]
        if unread:
            ids = [UNREAD if row in unread else id_ for row, id_ in enumerate(ids)]
            senders = [None if row in unread else e for row, e in enumerate(senders)]
        return Judged(
            offsets=np.array(offsets, np.int64),
            values=values,
            ids=ids,
            senders=senders,
            verdicts=verdicts,
            emitters=_emitters(senders, columns["emitter_sequence"], offsets),
            unjudged=[offset for offset in offsets if aside.get(offset) in UNJUDGED],
            own=own,
            rows=_rows(entries, is_own),
        )

    def _strays(self, partition: int, low: int, until: int, own: int) -> None:
        """Ledger rows that no committed record stands behind."""
        before, rows = self.snapshot.rows_from(partition, low)
        if before:
            self.evidence.notes.append(
                f"{self.topic}[{partition}] begins at {low}: {before} older rows of "
                "the ledger cannot be traced any more"
            )
        if rows == own:
            return
        committed = (
            record
            for judged in self.judged(partition, low, until, Evidence())
            for record in zip(judged.offsets.tolist(), judged.ids, strict=True)
        )
        there = next(committed, None)
        for offset, transfer_id in self.snapshot.offsets(partition, low):
            while there is not None and there[0] < offset:
                there = next(committed, None)
            if there != (offset, transfer_id.bytes):
                self.evidence.broken(
                    "I3",
                    f"ledger row {transfer_id} claims {self.topic}[{partition}]"
                    f"@{offset}, where no committed record of that id is",
                )


def _missing(where: str, transfer_id: bytes, fault: Fault | None) -> str:
    if fault is not None:
        return f"{where} is no transfer ({fault.reason}) and is not in quarantine"
    return f"{where}, transfer {UUID(bytes=transfer_id)}, is in no ledger row"


def _where_own(entries: Entries, partition: int, offsets: list[int]) -> Mask:
    """Where the ledger's row comes from this very record."""
    own: Mask = np.array(entries.partitions) == partition
    own &= np.array(entries.offsets) == np.array(offsets)
    return own


def _rows(entries: Entries, own: Mask) -> Rows:
    """The ledger's rows that come from the records followed."""
    numbers = (
        entries.offsets,
        entries.debit_accounts,
        entries.credit_accounts,
        entries.amounts,
        entries.verdicts,
        entries.debits_after,
    )
    offsets, payers, payees, amounts, verdicts, after = (
        np.array(column, np.int64)[own] for column in numbers
    )
    currencies = np.array(entries.currencies, "S3")[own]
    return Rows(offsets, payers, payees, amounts, currencies, verdicts, after)


def _where_same(entries: Entries, columns: Columns) -> Mask:
    """Where the ledger's row says what the record says."""
    same = np.ones(len(entries.offsets), bool)
    for mine, name in (
        (entries.debit_accounts, "debit_account"),
        (entries.credit_accounts, "credit_account"),
        (entries.amounts, "amount"),
        (entries.created_at_ms, "created_at_ms"),
        (entries.currencies, "currency"),
        (entries.memos, "memo"),
    ):
        if mine != columns[name]:
            same &= [a == b for a, b in zip(mine, columns[name], strict=True)]
    return same


def _verdict(
    where: str, entry: Entry, own: bool, content: tuple[Any, ...], evidence: Evidence
) -> int:
    if not own:
        same = entry.content[:PAYLOAD_FIELDS] == content[:PAYLOAD_FIELDS]
        return EXISTS if same else DIFFERENT
    if entry.content != content:
        evidence.broken("I3", f"{where}: ledger has {entry.content}, log {content}")
    return entry.verdict


def _content(columns: Columns, row: int) -> tuple[Any, ...]:
    return tuple(
        value.decode() if isinstance(value := columns[name][row], bytes) else value
        for name in CONTENT
    )


def _unread(faults: dict[int, Fault]) -> set[int]:
    return {row for row, fault in faults.items() if fault.reason not in READ}


def _check_aside(
    where: str, reason: str, faulty: bool, own: bool, evidence: Evidence
) -> None:
    """A record in quarantine must be one that cannot be a transfer."""
    if own:
        evidence.broken("I2", f"{where} is in quarantine and in the ledger")
    elif not faulty and reason not in (Reason.UNKNOWN_SCHEMA, Reason.ENDS_WORKERS):
        # (A schema that was unknown then may have been registered since.)
        evidence.broken("I1", f"{where} is a transfer, but was set aside: {reason}")


def _emitters(senders: list[Any], sequences: list[Any], offsets: list[int]) -> Emitters:
    if None in senders:
        rows = [row for row, emitter in enumerate(senders) if emitter is not None]
        senders = [senders[row] for row in rows]
        sequences = [sequences[row] for row in rows]
        offsets = [offsets[row] for row in rows]
    return Emitters(senders, np.array(sequences, np.int64), np.array(offsets, np.int64))
