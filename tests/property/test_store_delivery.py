"""What the journal promised reaches the log, in order, whenever the Store dies.

Journal, index, acknowledgement log and committer are real; Kafka is a list behind a
scripted emitter. The Store dies around every step of a commit, transactions end in
doubt, appends and removals are broken off half way, and clients try again all the time.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import UUID

from hypothesis import event, given, settings
from hypothesis import strategies as st

from once.health import Progress
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.assembly import assemble
from producers.store.backlog import Entry
from producers.store.emitter import Emitter
from producers.store.facts import Facts
from producers.store.index import Index
from producers.store.journal import Journal
from producers.store.receipts import ClientReceipts, new_emitter
from producers.store.states import Verdicts
from producers.store.transfers import Chunk, Transfer
from producers.store.watchers import Watchers
from tests.unit.handles import Handles, break_off

VERDICTS = Verdicts()
ROOM = 12

Payment = tuple[bytes, int]  # id and amount: what a record says


def oracle(log: Iterable[Payment]) -> dict[bytes, int]:
    """The Bank's rule: the first record of an id has the effect, repeats have none."""
    effects: dict[bytes, int] = {}
    for transfer_id, amount in log:
        effects.setdefault(transfer_id, amount)
    return effects


# -- what happens ----------------------------------------------------------------------


class Died(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Send:
    """Clients send payments, known or new, and one append takes them all."""

    payments: list[tuple[int, int]]
    broken_off_at: int | None  # SQLite's instruction at which the disk fails


@dataclass(frozen=True)
class Commit:
    """The committer takes some entries and commits them, or dies of it."""

    most: int
    doubts: list[bool]  # attempts whose outcome is unknown: did the log get it?
    meanwhile: list[Send]
    dies: str | None
    at: int  # SQLite's instruction, when it dies while something is written


@dataclass(frozen=True)
class Restart:
    """The Store ends and starts anew; perhaps on another machine, without its index."""

    index_is_lost: bool


Event = Send | Commit | Restart
DIES = [
    "before Kafka has it",
    "when Kafka has it",
    "while the index is written",
    "before it is removed",
    "while it is removed",
    "when it is removed",
]
payments = st.tuples(st.integers(1, 30), st.sampled_from([250, 250, 250, 999]))
sends = st.builds(
    Send,
    st.lists(payments, min_size=1, max_size=6),
    st.none() | st.none() | st.none() | st.integers(0, 700),
)
commits = st.builds(
    Commit,
    st.integers(1, 6),
    st.lists(st.booleans(), max_size=2),
    st.lists(sends, max_size=1),
    st.sampled_from([None, *DIES]),
    st.integers(0, 150),
)
restarts = st.builds(Restart, st.booleans())
rounds = st.tuples(sends, commits) | st.tuples(sends | commits | restarts)
histories = st.lists(rounds, min_size=3, max_size=15).map(
    lambda drawn: [each for some in drawn for each in some]
)


# -- the world -------------------------------------------------------------------------


@dataclass
class World:
    """A Store that dies and comes back, and what is outside of it."""

    folder: Path
    log: list[Payment] = field(default_factory=list)
    accepted: list[Payment] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)  # numbers, this life

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        files, parts = Handles(), Handles()
        self.journal = Journal(self.folder / "journal.db", ROOM, connect=files)
        # Of the process's death only: for that nothing need be synced.
        self.index = Index(self.folder / "index", VERDICTS, kept=False, connect=parts)
        self.index.write(Facts())  # there is a part to break off in
        self.to_journal, self.from_journal, _ = files.journal()
        self.to_index = parts.parts()[-1].writer
        self.acknowledgements = _Acknowledgements(self.folder / "acknowledged")
        self.emitter = _Emitter(self.log)
        self.acknowledged = []
        self.after_removal: Callable[[], None] = lambda: None
        self.committer = assemble(
            self.journal,
            self.index,
            open_emitters=lambda _: [cast(Emitter, self.emitter)],
            watchers=Watchers(),
            soon=self.committed,
            failed=lambda _: None,
            progress=Progress(60),
            records_max=1,
            interval_seconds=0,
            queued_after_seconds=0,
            acknowledged=self.acknowledgements,
        ).committer

    def end(self) -> None:
        self.journal.close()
        self.index.close()
        self.acknowledgements.__exit__()
        lines = (self.folder / "acknowledged").read_text().splitlines()
        acknowledged = {UUID(line).bytes for line in lines}
        assert acknowledged <= set(oracle(self.log)), "only what Kafka has"

    def committed(self, _: object, number: int, ids: list[bytes]) -> None:
        self.after_removal()
        self.acknowledged.append(number)

    def send(self, send: Send) -> None:
        """As the desk does it: an id that is known is answered and not sent again."""
        new: dict[bytes, Entry] = {}
        for number, amount in send.payments:
            entry = entry_of(number, amount)
            known = [entry.receipt.transfer_id]
            if not self.journal.find(known) and not self.index.find(known):
                new.setdefault(entry.receipt.transfer_id, entry)
        if not new or self.journal.room() < len(new):
            return
        break_off(self.to_journal, send.broken_off_at)
        try:
            self.journal.append(list(new.values()))
        except sqlite3.OperationalError:
            # Not promised. An error of the COMMIT may come after its effect, though.
            event("an append was broken off")
            there = {r.transfer_id for r in self.journal.find(list(new))}
            found = [entry for key, entry in new.items() if key in there]
            assert found in ([], list(new.values())), "all or nothing"
            self.accepted += map(payment_of, found)
        else:
            self.accepted += map(payment_of, new.values())
        break_off(self.to_journal, None)

    def commit(self, commit: Commit) -> None:
        entries = self.journal.take(commit.most)
        if not entries:
            return
        self.emitter.doubts, self.emitter.dies = commit.doubts, commit.dies
        self.emitter.meanwhile = lambda: live(self, commit.meanwhile)
        self.acknowledgements.dies = commit.dies == "before it is removed"
        if commit.dies == "while the index is written":
            break_off(self.to_index, commit.at)
        if commit.dies == "while it is removed":
            break_off(self.from_journal, commit.at)
        if commit.dies == "when it is removed":
            self.after_removal = die
        try:
            self.committer.commit(cast(Emitter, self.emitter), entries)
        except (Died, sqlite3.OperationalError):
            assert commit.dies is not None
            event(f"died {commit.dies}")
            self.restart(Restart(index_is_lost=False))
        break_off(self.to_index, None)
        break_off(self.from_journal, None)

    def restart(self, restart: Restart) -> None:
        self.end()
        if restart.index_is_lost:
            shutil.rmtree(self.folder / "index")
        self.start()


@dataclass
class _Emitter:
    """What the committer needs of an emitter; its Kafka is a list."""

    log: list[Payment]
    doubts: list[bool] = field(default_factory=list)
    dies: str | None = None
    meanwhile: Callable[[], None] = lambda: None
    incarnation: bytes = field(default_factory=new_emitter)

    def refresh(self) -> None:
        """Its keys stay."""

    def emit(self, chunk: Chunk, receipts: Sequence[ClientReceipts] = ()) -> None:
        received = [each for client in receipts for each in client.ids()]
        assert received == chunk.transfer_ids, "with every transfer its receipt"
        self.meanwhile()
        records = list(zip(chunk.transfer_ids, chunk.amounts, strict=True))
        for arrived in self.doubts:
            self.log += records if arrived else []
            self.incarnation = new_emitter()
        if self.dies == "before Kafka has it":
            die()
        self.log += records
        if self.dies == "when Kafka has it":
            die()


class _Acknowledgements(AcknowledgementLog):
    dies = False

    def append(self, transfer_ids: Sequence[bytes]) -> None:
        super().append(transfer_ids)
        if self.dies:
            die()


def die() -> None:
    raise Died


def entry_of(number: int, amount: int) -> Entry:
    transfer = Transfer(
        transfer_id=UUID(int=number),
        debit_account=1,
        credit_account=2,
        amount=amount,
        currency="EUR",
        created_at_ms=0,
    )
    return Entry.of(transfer, "ada")


def payment_of(entry: Entry) -> Payment:
    return entry.receipt.transfer_id, entry.transfer.amount


# -- the claims ------------------------------------------------------------------------


def live(world: World, history: Sequence[Event]) -> None:
    """All that happens, one after the other."""
    for each in history:
        if isinstance(each, Send):
            world.send(each)
        elif isinstance(each, Commit):
            world.commit(each)
        else:
            world.restart(each)


def a_day_without_trouble(world: World) -> None:
    """The Store comes back and commits what it finds."""
    world.restart(Restart(index_is_lost=False))
    while left := len(world.journal):
        world.commit(Commit(5, doubts=[], meanwhile=[], dies=None, at=0))
        assert len(world.journal) < left


@settings(max_examples=120, deadline=None)
@given(histories)
def test_what_was_promised_has_one_effect_and_in_the_order_of_the_promises(
    history: list[Event],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            live(world, history)
            a_day_without_trouble(world)
            # The same ids, each once, with the payload that was accepted first.
            promised, effects = oracle(world.accepted), oracle(world.log)
            assert list(effects.items()) == list(promised.items())
            # Nothing is in the log that was never accepted, repeats included.
            assert set(world.log) <= set(world.accepted)
            if Restart(index_is_lost=True) not in history:
                found = world.index.find(list(promised))
                assert {sent.receipt.transfer_id for sent in found} == set(promised)
            assert world.acknowledged == sorted(set(world.acknowledged))
        finally:
            world.end()
