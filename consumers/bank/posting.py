"""One batch, one Postgres transaction: position, money, proof.

    write   1  compare-and-set the positions      fewer rows than partitions => Fenced
            2  hold the accounts, look up ids if some may be repeats, load accounts
            3  decide                             pure (rules.py)
            4  COPY transfers, add debits and credits, quarantine, batches with hashes
    commit  5  COMMIT                             waits for the synchronous standby

Between batches the accounts of this worker's partitions are remembered. Postgres stays
the judge: debits are compared as they are changed, and whoever changes an account
raises the epoch (docs/adr/0002-accounts-epoch.md). After any failure all is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.errors import Diagnostic, UniqueViolation

from consumers.bank.batch import Slice
from consumers.bank.ledger import Ledger, Position
from consumers.bank.rules import (
    POSTED,
    Account,
    Decision,
    Payload,
    decide,
    undo,
)
from consumers.bank.verdicts import DECIDED_MAX
from once import names
from once.chain import link
from once.errors import (
    Conflict,
    Defect,
    Fenced,
    Indeterminate,
    OnceError,
    from_postgres,
)
from once.metrics import Laps
from once.sequence import Gap, follow

ACCOUNTS_REMEMBERED_MAX = 250_000  # about 60 MB

MARKS_REMEMBERED_MAX = 100_000  # emitters; a foreign producer may name one per record

# Ids are looked up only after COPY has met one that is in the ledger already, and then
# for so many batches: repeats come in swarms (docs/adr/0009-optimistic-ids.md).
BATCHES_LOOKED_UP = 50


@dataclass(slots=True)
class Posting:
    """A batch written but perhaps not yet committed.

    `verdicts` has one verdict per record of every slice, in offset order.
    """

    slices: Sequence[Slice]
    verdicts: list[list[int]]
    positions: dict[int, Position]
    marks: dict[int, dict[bytes, int]]
    gaps: dict[int, list[Gap]]
    short: set[int]


class Poster:
    """Posts batches of the partitions in `positions`, on one connection.

    The connection must not be in autocommit mode and must have no timeout that could
    cancel a COMMIT.
    """

    def __init__(self, connection: psycopg.Connection, topic: str) -> None:
        self.ledger = Ledger(connection, topic)
        self.positions: dict[int, Position] = {}
        self._connection = connection
        self._accounts: dict[int, Account] = {}
        self._epoch = 0
        self._marks: dict[int, dict[bytes, int]] = {}
        self._warnings: list[str] = []
        self._look_ups_left = 0
        connection.add_notice_handler(self._note)

    def open(
        self, partitions: Sequence[int], topic_id: str
    ) -> dict[int, tuple[str, Position]]:
        """Topic id and position of each partition, as a standby has them too.

        A position may be there from a COMMIT whose standby never answered; what is
        published must not rest on it before it is replicated. So this writes, and
        waits, as `committed` does. Raises Retriable, Indeterminate, Defect.
        """
        self.forget()
        try:
            self.ledger.touch(partitions)
            opened = self.ledger.open_positions(partitions, topic_id)
        except psycopg.Error as error:
            self._rollback()
            raise from_postgres(error, "reading the positions") from error
        self._commit_lookup()
        return opened

    def write(self, slices: Sequence[Slice], laps: Laps) -> Posting:
        """Steps 1 to 4. Raises Fenced, Conflict, Retriable or Defect: rolled back."""
        try:
            return self._write(slices, laps)
        except psycopg.Error as error:
            self.forget()
            self._rollback()
            if isinstance(error, UniqueViolation):
                self._look_ups_left = BATCHES_LOOKED_UP
            raise from_postgres(error, "posting a batch") from error
        except OnceError:
            self.forget()
            self._rollback()
            raise
        except Exception as error:
            self.forget()
            self._rollback()
            raise Defect(f"while posting {_ranges(slices)}: {error!r}") from error

    def commit(self, posting: Posting) -> None:
        """Step 5. Raises Indeterminate when it is not sure that it is replicated."""
        self._warnings.clear()
        try:
            self._connection.commit()
        except psycopg.Error as error:
            self.forget()
            raise Indeterminate(f"while committing a batch: {error!r}") from error
        if self._warnings:
            # The wait for the standby was cancelled: committed here, perhaps only here.
            self.forget()
            raise Indeterminate(f"while committing a batch: {self._warnings[0]}")
        self._remember(posting)

    def committed(self, posting: Posting) -> bool:
        """Whether an indeterminate posting took effect, by a write that is replicated.

        The update waits for a backend that is still committing, and its own COMMIT
        for the standby: what it saw is then true there as well. Raises Fenced when the
        positions are neither the old nor the new ones, Retriable, Indeterminate.
        """
        before = {p: self.positions[p].next_offset for p in posting.positions}
        after = {p: tail.next_offset for p, tail in posting.positions.items()}
        try:
            now = self.ledger.touch(list(after))
        except psycopg.Error as error:
            self._rollback()
            raise from_postgres(error, "looking up the positions") from error
        self._commit_lookup()
        if now == after:
            self._remember(posting)
            return True
        if now == before:
            return False
        raise Fenced(f"positions are {now}, neither {before} nor {after}")

    def forget(self) -> None:
        """Drop what is remembered between batches, except the positions."""
        self._accounts.clear()
        self._marks.clear()

    def drop(self, partitions: Iterable[int]) -> None:
        """These partitions belong to somebody else now."""
        for partition in partitions:
            self.positions.pop(partition, None)
        self.forget()

    def _write(self, slices: Sequence[Slice], laps: Laps) -> Posting:
        ledger = self.ledger
        expected = {p: tail.next_offset for p, tail in self.positions.items()}
        if not ledger.advance(slices, expected):
            raise Fenced("another worker has moved a position of this batch")
        self._hold_accounts()
        known = self._known(slices)
        fresh = self._load(slices)
        laps.lap(names.LOAD)
        decision = self._decide(slices, known, fresh)
        laps.lap(names.DECIDE)
        verdicts = [
            piece.all_verdicts(mine)
            for piece, mine in zip(slices, decision.verdicts, strict=True)
        ]
        ledger.insert_transfers(
            slices, decision.verdicts, decision.debits_after, DECIDED_MAX
        )
        if not ledger.add_debits(decision.debits, self._accounts):
            raise Conflict("another writer has debited an account of this batch")
        if any(decision.credits.values()):
            ledger.add_credits(decision.credits)
        if any(piece.faults for piece in slices):
            ledger.insert_quarantine(slices)
        tails = self._link(slices, verdicts)
        marks, gaps = self._follow(slices)
        for number in fresh:
            self._accounts[number].fresh = False
        return Posting(slices, verdicts, tails, marks, gaps, decision.short)

    def _hold_accounts(self) -> None:
        epoch = self.ledger.hold_accounts()
        if epoch != self._epoch or len(self._accounts) > ACCOUNTS_REMEMBERED_MAX:
            self._accounts.clear()
        self._epoch = epoch
        if sum(map(len, self._marks.values())) > MARKS_REMEMBERED_MAX:
            self._marks.clear()

    def _known(self, slices: Sequence[Slice]) -> dict[bytes, Payload]:
        """Payloads of the ids that are in the ledger already.

        Empty while none is expected: should one be there, its COPY raises a unique
        violation, and the batch is redone with this look-up.
        """
        if not self._look_ups_left:
            return {}
        self._look_ups_left -= 1
        ids = [i for piece in slices for i in piece.transfers.transfer_ids]
        found = self.ledger.rows(ids)
        return {transfer_id: row.payload for transfer_id, row in found.items()}

    def _load(self, slices: Sequence[Slice]) -> set[int]:
        """Read the accounts that are not remembered; those of them that exist."""
        named: set[int] = set()
        for piece in slices:
            named.update(piece.transfers.debit_accounts)
            named.update(piece.transfers.credit_accounts)
        missing = named.difference(self._accounts)
        if not missing:
            return set()
        loaded = self.ledger.accounts(list(missing))
        self._accounts.update(loaded)
        return set(loaded)

    def _decide(
        self, slices: Sequence[Slice], known: dict[bytes, Payload], fresh: set[int]
    ) -> Decision:
        batch = [piece.transfers for piece in slices]
        while True:
            decision = decide(batch, self._accounts, known)
            stale = decision.stale(self._accounts)
            if not stale:
                return decision
            # An apparent decline needs a fresh sum of credits; then decide again.
            undo(decision, self._accounts)
            loaded = self.ledger.accounts(stale)
            self._accounts.update(loaded)
            fresh.update(loaded)

    def _link(
        self, slices: Sequence[Slice], verdicts: Sequence[Sequence[int]]
    ) -> dict[int, Position]:
        tails: dict[int, Position] = {}
        rows: list[tuple[object, ...]] = []
        for piece, mine in zip(slices, verdicts, strict=True):
            records = piece.records
            tail = self.positions[piece.partition]
            digest = link(tail.hash, records.offsets, records.values, mine)
            number = tail.batch_number + 1
            tails[piece.partition] = Position(piece.next_offset, number, digest)
            first, last = records.offsets[0], records.offsets[-1]
            posted = mine.count(POSTED)
            declined = sum(map(DECIDED_MAX.__ge__, mine)) - posted
            counts = (len(mine), posted, declined)
            rows.append((piece.partition, number, first, last, *counts, digest))
        self.ledger.insert_batches(rows)
        return tails

    def _follow(
        self, slices: Sequence[Slice]
    ) -> tuple[dict[int, dict[bytes, int]], dict[int, list[Gap]]]:
        """Follow the emitters' sequences; the marks that moved and the gaps found."""
        marks: dict[int, dict[bytes, int]] = {}
        gaps: dict[int, list[Gap]] = {}
        for piece in slices:
            emitters, sequences, offsets = piece.numbered
            mine = self._marks.setdefault(piece.partition, {})
            unseen = {e for e in set(emitters) if e is not None and e not in mine}
            if unseen:
                mine.update(self.ledger.marks(piece.partition, unseen))
            moved, found = follow(mine, emitters, sequences, offsets)
            if moved:
                marks[piece.partition] = moved
            if found:
                gaps[piece.partition] = found
        if marks:
            self.ledger.save_marks(marks)
        if gaps:
            self.ledger.insert_gaps(gaps)
        return marks, gaps

    def _remember(self, posting: Posting) -> None:
        self.positions.update(posting.positions)
        for partition, moved in posting.marks.items():
            self._marks.setdefault(partition, {}).update(moved)
        for number in posting.short:
            # Poor now: read afresh next time, instead of deciding that batch twice.
            self._accounts.pop(number, None)

    def _commit_lookup(self) -> None:
        """COMMIT of `committed`'s own transaction."""
        self._warnings.clear()
        try:
            self._connection.commit()
        except psycopg.Error as error:
            raise from_postgres(error, "looking up the positions") from error
        if self._warnings:
            raise Indeterminate(f"while looking up the positions: {self._warnings[0]}")

    def _rollback(self) -> None:
        try:
            self._connection.rollback()
        except psycopg.Error:
            self._connection.close()  # it was lost; the server rolls back by itself

    def _note(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "warning")


def _ranges(slices: Sequence[Slice]) -> str:
    return ", ".join(
        f"[{s.partition}]@{s.records.offsets[0]}..{s.records.offsets[-1]}"
        for s in slices
    )
