"""The verdicts on records that were applied before, read from the ledger.

Nothing is decided here: a row of the ledger is the verdict on the record it came from,
and any other record with its transfer_id is a repeat of it, now as then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import psycopg

from consumers.bank.account_history import AccountHistory
from consumers.bank.batch import NO_TRANSFER_ID, READABLE, Records, Slice
from consumers.bank.codec import Fault, Reason
from consumers.bank.ledger import Ledger
from consumers.bank.verdicts import REPEATS, Verdict
from once.errors import Refused
from once.postgres import from_postgres

EXISTS, EXISTS_WITH_ANOTHER = REPEATS


class Recalled(NamedTuple):
    """Verdicts per slice and record; for repeats, by row, the verdict on the first."""

    verdicts: list[list[int]]
    firsts: list[dict[int, int]]


def unread(ledger: Ledger, parts: Sequence[Records]) -> dict[int, dict[int, Fault]]:
    """What must not be decoded again, by partition and offset. Raises Retriable."""
    why = Fault(Reason.ENDS_WORKERS, "set aside before")
    try:
        found = {
            part.partition: {
                offset: why
                for offset, reason in ledger.quarantined(
                    part.partition, part.offsets[0], part.offsets[-1]
                ).items()
                if reason == Reason.ENDS_WORKERS
            }
            for part in parts
        }
        ledger.connection.commit()
        return found
    except psycopg.Error as error:
        raise from_postgres(error, "reading the quarantine") from error


def recall(ledger: Ledger, slices: Sequence[Slice]) -> Recalled:
    """One verdict per record of every slice, all below the position.

    Raises Retriable when the database is away, Refused when it has no trace of a record
    that its position says was applied.
    """
    try:
        recalled = [_recall(ledger, piece) for piece in slices]
        ledger.connection.commit()
    except psycopg.Error as error:
        raise from_postgres(error, "reading verdicts from the ledger") from error
    return Recalled([v for v, _ in recalled], [f for _, f in recalled])


class _Found(NamedTuple):
    """What the ledger has under a record's id, and whether it is a repeat's other."""

    partition: int
    record_offset: int
    verdict: int
    same: bool  # what it says is what the record says


def _recall(ledger: Ledger, piece: Slice) -> tuple[list[int], dict[int, int]]:
    offsets = piece.records.offsets
    aside = ledger.quarantined(piece.partition, offsets[0], offsets[-1])
    found_of = iter(_changes(ledger, piece) if piece.changes else _rows(ledger, piece))
    verdicts: list[int] = []
    firsts: dict[int, int] = {}
    for row, offset in enumerate(offsets):
        found = None if row in piece.faults else next(found_of)
        if offset in aside:
            verdicts.append(int(Verdict.QUARANTINED))
            if aside[offset] not in READABLE:
                # Its schema may be known by now; the result is that of then.
                piece.ids[row], piece.emitters[row] = NO_TRANSFER_ID, None
            continue
        if found is None:
            raise Refused(
                f"the ledger has applied {ledger.topic}[{piece.partition}] beyond "
                f"offset {offset}, but knows nothing of that record; "
                "run the audit: make audit; see docs/runbooks/audit-broken.md",
                piece.partition,
            )
        if (found.partition, found.record_offset) == (piece.partition, offset):
            verdicts.append(found.verdict)
        else:
            verdicts.append(int(EXISTS if found.same else EXISTS_WITH_ANOTHER))
            firsts[row] = found.verdict
    return verdicts, firsts


def _rows(ledger: Ledger, piece: Slice) -> list[_Found | None]:
    """What is under the id of each well-formed transfer."""
    ids = piece.transfers.transfer_ids
    rows = ledger.rows(ids)
    return [
        (
            None
            if (row := rows.get(id_)) is None
            else _Found(
                row.partition,
                row.record_offset,
                row.verdict,
                row.payload == piece.transfers.payload(at),
            )
        )
        for at, id_ in enumerate(ids)
    ]


def _changes(ledger: Ledger, piece: Slice) -> list[_Found | None]:
    """What is under the id of each well-formed change of an account."""
    known = AccountHistory(ledger).known([each.change_id for each in piece.changes])
    return [
        (
            None
            if (row := known.get(change.change_id)) is None
            else _Found(
                row.partition, row.record_offset, row.verdict, row.asked == change.asked
            )
        )
        for change in piece.changes
    ]
