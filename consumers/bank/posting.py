"""One batch, one Postgres transaction: position, money, proof.

    write   0  close what another worker has left open of the chain
            1  compare-and-set the positions      fewer rows than partitions => Fenced
            2  hold the accounts, look up ids if some may be repeats, load accounts
            3  decide (rules.py, pure), and keep what was seen
            4  COPY transfers, add debits and credits, quarantine, batches with hashes
    commit  5  COMMIT                             waits for the synchronous standby

A batch of changes of accounts takes the same way: what differs is in changing.py.
Between batches accounts are remembered (remembered.py). After any failure all is
forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import psycopg
from psycopg.errors import Diagnostic, LockNotAvailable, UniqueViolation

from consumers.bank import must_hold, shards
from consumers.bank.batch import Slice, ranges
from consumers.bank.blockers import end_frozen, lock_holders
from consumers.bank.care import Owed
from consumers.bank.chaining import Chains, join
from consumers.bank.changing import write_changes
from consumers.bank.ledger import Ledger, Row
from consumers.bank.marks import Marks
from consumers.bank.position import Position
from consumers.bank.posted import Opened, Posting, first_verdicts
from consumers.bank.remembered import Remembered
from consumers.bank.rules import Decision, decide, undo
from consumers.bank.told import replayed
from consumers.bank.trials import Trials
from consumers.bank.verdicts import DECIDED_MAX
from once import logs, names
from once.errors import (
    Conflict,
    Defect,
    Fenced,
    Indeterminate,
    OnceError,
    Refused,
    Stumbled,
)
from once.metrics import Laps
from once.postgres import from_postgres

log = logs.get(__name__)
T = TypeVar("T")

# Ids are looked up only after COPY has met one that is in the ledger already, and then
# for so many batches: repeats come in swarms (docs/adr/0009-optimistic-ids.md).
BATCHES_LOOKED_UP = 50

TOLD = 0  # in the place of an epoch: nothing was decided

# The one unique index that a redo heals: it looks the ids up. The others are met only
# by a batch that does not begin where the ledger ends.
HEALED_BY_REDO = "transfers_pkey"

# Classes of SQLSTATE that a record's values can provoke: data and integrity.
OF_THE_RECORDS = ("22", "23")


class _Written(NamedTuple):
    """Verdicts by slice and well-formed record, and what else is known of them."""

    verdicts: list[list[int]]
    short: set[int] = set()  # accounts that were declined for want of funds
    known: Mapping[bytes, Row] = MappingProxyType({})  # rows that were there before
    firsts: list[dict[int, int]] | None = None  # see Posting


class Poster:
    """Posts batches of the partitions in `positions`, on one connection.

    The connection must not be in autocommit mode and must have no timeout that could
    cancel a COMMIT.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        topic: str,
        positions: dict[int, Position] | None = None,
    ) -> None:
        """`positions` outlive the connection: whoever makes posters owns them."""
        self.ledger = Ledger(connection, topic)
        self.trials = Trials(connection, topic)
        self.positions = {} if positions is None else positions
        self._connection = connection
        self._remembered = Remembered(self.ledger)
        self._chains = Chains(connection, topic)
        self._marks = Marks(self.ledger)
        self._warnings: list[str] = []
        self._look_ups_left = 0
        connection.add_notice_handler(self._note)

    def open(
        self,
        partitions: Sequence[int],
        topic_id: str,
        owed: Mapping[int, Owed] = MappingProxyType({}),
    ) -> Opened:
        """Topic id and position of each partition, as a standby has them too.

        A position may be there from a COMMIT whose standby never answered; what is
        published must not rest on it before it is replicated. So this writes, and
        waits, as `committed` does. `owed` is taken back from the trials. Raises
        Retriable, Indeterminate, Defect.
        """
        self.forget()
        with self._transaction("reading the positions"):
            for frozen in end_frozen(self._connection):
                log.warning("ended a worker that was frozen", worker=frozen)
            self.ledger.touch(partitions)
            positions = self.ledger.open_positions(partitions, topic_id)
            self.trials.leave(owed)
            opened = Opened(
                self.ledger.identity(), positions, self.trials.open(partitions)
            )
        self._commit_lookup()
        return opened

    def hash_of(self, partition: int, batch_number: int, end: int) -> bytes | None:
        """The chain's hash after the batch that ends before an offset, None when there
        is none. Raises OnceError."""
        with self._transaction("reading a batch"):
            found = self._chains.hash_after(partition, batch_number, end)
            self._connection.commit()
            return found

    def on_trial(self, change: Callable[[Trials], T]) -> T:
        """Change what is noted of batches or the log, and commit. Raises OnceError.

        It must outlive this process, not the server: no standby is waited for.
        """
        with self._transaction("taking a note"):
            self._connection.execute("SET LOCAL synchronous_commit = off")
            answer = change(self.trials)
            self._connection.commit()
            return answer

    def note_seen(self, seen: Mapping[int, int]) -> None:
        """Remember how far the log was read: a hint, which may be lost.

        Raises Retriable or Defect.
        """
        self.on_trial(lambda _: self.ledger.note_seen(seen))

    def write(
        self,
        slices: Sequence[Slice],
        laps: Laps,
        told: Sequence[Sequence[int]] | None = None,
    ) -> Posting:
        """Steps 1 to 4. Raises OnceError, and then it is rolled back.

        `told` are verdicts to take instead of deciding, one per transfer. Stumbled is
        raised for what the records of this batch alone have provoked.
        """
        with self._transaction(f"posting {ranges(slices)}", slices):
            return self._write(slices, laps, told)

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
        with self._transaction("looking up the positions"):
            now = self.ledger.touch(list(after))
        self._commit_lookup()
        if now == after:
            self._remember(posting)
            return True
        if now == before:
            return False
        raise Fenced(f"positions are {now}, neither {before} nor {after}")

    def forget(self) -> None:
        """Drop what is remembered between batches, except the positions."""
        self._remembered.accounts.clear()
        self._marks.forget()

    def _write(
        self,
        slices: Sequence[Slice],
        laps: Laps,
        told: Sequence[Sequence[int]] | None,
    ) -> Posting:
        ledger = self.ledger
        must_hold.before_writing(slices, self.positions)
        expected = {p: tail.next_offset for p, tail in self.positions.items()}
        left = [p.partition for p in slices if self.positions[p.partition].left_open]
        if left:
            self._chains.close_left(left)
        growing = {p for p, tail in self.positions.items() if tail.open}
        if not ledger.advance(slices, expected, growing):
            raise Fenced("another worker has moved a position of this batch")
        written = (
            self._change(slices, told)
            if any(piece.changes for piece in slices)
            else self._post(slices, laps, told)
        )
        verdicts = [
            piece.all_verdicts(mine)
            for piece, mine in zip(slices, written.verdicts, strict=True)
        ]
        if any(piece.faults for piece in slices):
            ledger.insert_quarantine(slices)
        tails = self._link(slices, verdicts)
        must_hold.after_linking(slices, verdicts, self.positions, tails)
        marks, gaps = self._marks.follow(slices)
        return Posting(
            slices=slices,
            verdicts=verdicts,
            positions=tails,
            marks=marks,
            gaps=gaps,
            short=written.short,
            firsts=written.firsts or first_verdicts(slices, verdicts, written.known),
        )

    def _post(
        self,
        slices: Sequence[Slice],
        laps: Laps,
        told: Sequence[Sequence[int]] | None,
    ) -> _Written:
        """Decide transfers and move the money."""
        ledger, accounts = self.ledger, self._remembered
        held = accounts.hold()
        known = self._known(slices, always=told is not None)
        looked_at = accounts.load(slices)
        laps.lap(names.LOAD)
        if told is None:
            decision = self._decide(slices, known, looked_at)
        else:
            decision = replayed(slices, accounts.accounts, told)
            held = held._replace(epoch=TOLD)
        ledger.insert_decision(slices, self.positions, held)
        laps.lap(names.DECIDE)
        must_hold.after_deciding(slices, decision)
        ledger.insert_transfers(
            slices, decision.verdicts, decision.debits_after, DECIDED_MAX
        )
        if not ledger.add_debits(decision.debits, accounts.accounts):
            raise Conflict("another writer has debited an account of this batch")
        if any(decision.credits.values()):
            ledger.add_credits(shards.of(slices, decision.credits))
        return _Written(decision.verdicts, short=decision.short, known=known)

    def _change(
        self, slices: Sequence[Slice], told: Sequence[Sequence[int]] | None
    ) -> _Written:
        """Decide changes of accounts and write them."""
        changed = write_changes(self.ledger, slices, told)
        held = changed.held if told is None else changed.held._replace(epoch=TOLD)
        self.ledger.insert_decision(slices, self.positions, held)
        return _Written(changed.verdicts, firsts=changed.firsts)

    def _known(self, slices: Sequence[Slice], always: bool) -> dict[bytes, Row]:
        """The rows of the ids that are in the ledger already.

        Empty while none is expected: should one be there, its COPY raises a unique
        violation, and the batch is redone with this look-up.
        """
        if not self._look_ups_left and not always:
            return {}
        self._look_ups_left = max(0, self._look_ups_left - 1)
        ids = [i for piece in slices for i in piece.transfers.transfer_ids]
        return self.ledger.rows(ids)

    def _decide(
        self, slices: Sequence[Slice], rows: Mapping[bytes, Row], looked_at: set[int]
    ) -> Decision:
        """Whoever is declined for want of funds was looked at in this transaction."""
        batch = [piece.transfers for piece in slices]
        known = {transfer_id: row.payload for transfer_id, row in rows.items()}
        remembered = self._remembered
        while True:
            decision = decide(batch, remembered.accounts, known)
            stale = decision.short - looked_at
            if not stale:
                return decision
            # An older sum of credits may be too small: look again, and decide again.
            undo(decision, remembered.accounts)
            remembered.look_at(stale)
            looked_at |= stale

    def _link(
        self, slices: Sequence[Slice], verdicts: Sequence[Sequence[int]]
    ) -> dict[int, Position]:
        joined = [
            join(self.positions[piece.partition], piece, mine)
            for piece, mine in zip(slices, verdicts, strict=True)
        ]
        self._chains.save([batch for _, batch in joined])
        return {batch.partition: position for position, batch in joined}

    def _remember(self, posting: Posting) -> None:
        self.positions.update(posting.positions)
        self._marks.remember(posting.marks)
        # Poor now: read afresh next time, instead of deciding that batch twice.
        self._remembered.drop(posting.short)

    def _commit_lookup(self) -> None:
        """COMMIT of `open` and `committed`, which must be replicated, too."""
        self._warnings.clear()
        try:
            self._connection.commit()
        except psycopg.Error as error:
            raise from_postgres(error, "looking up the positions") from error
        if self._warnings:
            raise Indeterminate(f"while looking up the positions: {self._warnings[0]}")

    @contextmanager
    def _transaction(self, doing: str, slices: Sequence[Slice] = ()) -> Iterator[None]:
        """What raises within is rolled back, and nothing is remembered over it.

        It commits nothing: the block does, or `commit` later. With `slices` it is about
        their records: what nobody foresaw is Stumbled.
        """
        try:
            yield
        except psycopg.Error as error:
            self._undo()
            raise self._meaning(error, doing, slices) from error
        except OnceError:
            self._undo()
            raise
        except Exception as error:
            self._undo()
            if not slices:
                raise
            raise Stumbled(f"while {doing}: {error!r}") from error

    def _undo(self) -> None:
        self.forget()
        try:
            self._connection.rollback()
        except psycopg.Error:
            self._connection.close()  # it was lost; the server rolls back by itself

    def _meaning(
        self, error: psycopg.Error, doing: str, slices: Sequence[Slice]
    ) -> OnceError:
        """What Postgres' answer means, to a batch of these slices if there are any."""
        if isinstance(error, LockNotAvailable):
            doing = f"{doing} (a lock is {lock_holders(self._connection)})"
        if isinstance(error, UniqueViolation) and slices:
            if error.diag.constraint_name != HEALED_BY_REDO:
                return Refused(
                    f"{error.diag.constraint_name} has what {doing} would write: was a "
                    "position moved by hand, or a part of the ledger restored? See "
                    "docs/runbooks/ledger-behind.md",
                    slices[0].partition if len(slices) == 1 else None,
                )
            self._look_ups_left = BATCHES_LOOKED_UP
        found = from_postgres(error, doing)
        of_the_records = slices and (error.sqlstate or "")[:2] in OF_THE_RECORDS
        return (
            Stumbled(str(found))
            if of_the_records and isinstance(found, Defect)
            else found
        )

    def _note(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "warning")
