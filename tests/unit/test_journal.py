"""The journal keeps what was promised, whatever becomes of process and disk."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from once.errors import Defect, Refused, exit_status
from producers.store.journal import Journal
from producers.store.receipts import Receipt
from producers.store.sqlite import Connect, Synchronous, connect
from producers.store.transfers import INT64_MAX
from tests.unit.entries import SECONDS_MAX, entries, entry, ids
from tests.unit.handles import Handles, break_off, let_grow

OpenJournal = Callable[..., Journal]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[OpenJournal]:
    """Opens the journal of this test, as often as asked; closes what is left open."""
    opened: list[Journal] = []

    def open_(entries_max: int = 1000, connect: Connect = connect) -> Journal:
        path = tmp_path / "store" / "journal.db"
        opened.append(Journal(path, entries_max, connect=connect))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_a_journal_takes_nothing_back(journal: OpenJournal) -> None:
    backlog, sent = journal(), entries(2)
    last = backlog.append(sent)
    assert not backlog.withdraw(last - 1, last)
    assert backlog.take(10) == sent


def test_what_was_not_removed_is_there_after_reopening(journal: OpenJournal) -> None:
    before, sent = journal(), entries(9)
    before.append(sent[:4])
    before.append(sent[4:])
    before.take(6)
    before.remove(2)
    before.close()
    after = journal(8)
    assert len(after) == 7 and after.room() == 1
    assert sorted(after.find(ids(sent))) == sorted(each.receipt for each in sent[2:])
    assert after.take(100) == sent[2:], "what was only taken comes again"


TEXTS = [
    "",
    "coffee",
    "naïve 支払い 💶 \u2028 \u00a0",
    "'; DROP TABLE entries; --",
    'quoted "twice" \\ and \\u0041',
    "\t\r\n\x01\x1f\x7f",
    "null",
    "[1, 2]",
    "007",
]


def test_every_payment_comes_back_as_it_was(journal: OpenJournal) -> None:
    sent = [entry(memo=text, client=text or "?") for text in TEXTS]
    sent += [
        entry(debit_account=INT64_MAX, credit_account=1, amount=INT64_MAX),
        entry(debit_account=1, credit_account=INT64_MAX, amount=1),
        entry(created_at_ms=0),
        entry(created_at_ms=253_402_300_799_999),
        entry(transfer_id=UUID(int=1)),
        entry(transfer_id=UUID(int=2**128 - 1)),
    ]
    before = journal()
    before.append(sent)
    before.close()
    after = journal()
    found = after.take(100)
    assert found == sent
    assert [each.transfer.model_dump() for each in found] == [
        each.transfer.model_dump() for each in sent
    ]
    assert sorted(after.find(ids(sent))) == sorted(each.receipt for each in sent)


def test_numbers_go_on_growing_after_all_was_removed(journal: OpenJournal) -> None:
    before = journal()
    last = before.append(entries(5))
    before.take(5)
    before.remove(5)
    before.close()
    after, sent = journal(), entries(1)
    assert len(after) == 0
    assert after.append(sent) == last + 1
    assert after.take(10) == sent


def test_a_second_store_on_one_journal_is_refused_by_name(
    journal: OpenJournal, tmp_path: Path
) -> None:
    first = journal()
    (tmp_path / "by-another-name.db").symlink_to(tmp_path / "store" / "journal.db")
    for path in (tmp_path / "store" / "journal.db", tmp_path / "by-another-name.db"):
        with pytest.raises(Refused, match=f"{path} open; give each Store its own"):
            Journal(path, 10)
    first.append(entries(1))
    first.close()
    assert len(journal()) == 1


@pytest.mark.parametrize("name", ["journal.lock", "journal", "journal.db.lock"])
def test_a_journal_may_have_any_name(tmp_path: Path, name: str) -> None:
    sent = entries(2)
    before = Journal(tmp_path / name, 10)
    before.append(sent)
    before.close()
    after = Journal(tmp_path / name, 10)
    assert after.take(10) == sent
    after.close()


APPEND_AND_STAY = """
import sys
from pathlib import Path
from producers.store.backlog import Entry
from producers.store.journal import Journal
from producers.store.transfers import Transfer

journal = Journal(Path(sys.argv[1]), 10)
for line in sys.argv[2:]:
    journal.append([Entry.of(Transfer.model_validate_json(line), "ada")])
print("appended", flush=True)
sys.stdin.read()
"""


def test_what_was_appended_survives_a_kill(
    journal: OpenJournal, tmp_path: Path
) -> None:
    sent = entries(3)
    lines = [each.transfer.model_dump_json() for each in sent]
    path = tmp_path / "store" / "journal.db"
    with subprocess.Popen(
        [sys.executable, "-c", APPEND_AND_STAY, path, *lines],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "appended\n"
        with pytest.raises(Refused, match="another Store"):
            journal()
        other.kill()
        assert other.wait(SECONDS_MAX) == -signal.SIGKILL
    assert journal().take(10) == sent


def test_a_full_disk_leaves_nothing_half_appended(
    journal: OpenJournal, handles: Handles
) -> None:
    backlog, kept, refused = journal(connect=handles), entries(3), entries(400)
    last = backlog.append(kept)
    let_grow(handles.journal().writer, 2)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        backlog.append(refused)
    assert len(backlog) == 3
    assert backlog.find(ids(refused)) == []
    assert backlog.take(1000) == kept
    let_grow(handles.journal().writer, 100_000)
    assert backlog.append(refused) == last + 400, "no number is lost"
    assert backlog.take(1000) == refused
    backlog.close()
    assert journal().take(1000) == kept + refused


def test_what_cannot_be_removed_stops_nothing_behind_it(journal: OpenJournal) -> None:
    """To delete needs room on the disk, too."""
    fails = Failing("DELETE")
    backlog, sent, behind = journal(connect=fails), entries(3), entries(2)
    backlog.append(sent)
    assert backlog.take(10) == sent
    last = backlog.remove(3)
    assert len(backlog) == 0 and backlog.find(ids(sent)) == []
    backlog.append(behind)
    assert backlog.take(10) == behind and len(backlog) == 2
    fails.word = "nothing"
    assert backlog.remove(2) == last + 2 and len(backlog) == 0
    backlog.close()
    assert journal().take(10) == []


def test_what_could_not_be_removed_is_sent_again_by_the_next(
    journal: OpenJournal,
) -> None:
    backlog, sent = journal(connect=Failing("DELETE")), entries(3)
    backlog.append(sent)
    backlog.take(10)
    backlog.remove(3)
    backlog.close()
    assert journal().take(10) == sent, "legal: the ledger knows their ids"


class Played:
    """A connection with something between it and its user."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> None:
        self._real.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._real.__exit__(*error)


class Failing:
    """Opens files on which statements with a word fail, as on a full disk."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, path: Path, synchronous: Synchronous) -> sqlite3.Connection:
        disk = self

        class Connection(Played):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if disk.word in statement:
                    error = sqlite3.OperationalError("database or disk is full")
                    error.sqlite_errorcode = sqlite3.SQLITE_FULL
                    raise error
                return self._real.execute(statement, *values)

        return cast(sqlite3.Connection, Connection(connect(path, synchronous)))


def test_an_append_that_is_broken_off_anywhere_is_all_or_nothing(
    journal: OpenJournal, handles: Handles
) -> None:
    """SQLite is interrupted at ever later instructions until it gets through."""
    backlog, sent, broken_off = journal(connect=handles), entries(8), 0
    while True:
        break_off(handles.journal().writer, 3 * broken_off)
        try:
            backlog.append(sent)
            break
        except sqlite3.OperationalError as error:
            assert str(error) == "interrupted"
            assert len(backlog) == 0 and backlog.take(10) == []
            broken_off += 1
    assert broken_off > 100
    backlog.close()
    assert journal().take(10) == sent


def test_a_receipt_of_the_journal_is_the_receipt_that_was_put_in(
    journal: OpenJournal,
) -> None:
    backlog, sent = journal(), entry("naïve 💶")
    backlog.append([sent])
    (found,) = backlog.find(ids([sent]))
    assert type(found) is Receipt and found == sent.receipt


class Descheduled:
    """Opens files with a gate behind each COMMIT, for one thread."""

    def __init__(self) -> None:
        self.thread: int | None = None  # that must wait
        self.arrived, self.gate = threading.Event(), threading.Event()

    def __call__(self, path: Path, synchronous: Synchronous) -> sqlite3.Connection:
        slow = self

        class Connection(Played):
            def __exit__(self, *error: Any) -> None:
                super().__exit__(*error)
                if threading.get_ident() == slow.thread:
                    slow.arrived.set()
                    assert slow.gate.wait(SECONDS_MAX)

        return cast(sqlite3.Connection, Connection(connect(path, synchronous)))


def test_an_append_that_loses_its_turn_after_its_commit_is_sent_all_the_same(
    journal: OpenJournal,
) -> None:
    slow = Descheduled()
    backlog = journal(connect=slow)
    first, second, third = entries(1), entries(1), entries(3)
    backlog.append(first)

    def append() -> None:
        slow.thread = threading.get_ident()
        backlog.append(second)

    with ThreadPoolExecutor(1) as other:
        appended = other.submit(append)
        assert slow.arrived.wait(SECONDS_MAX), "committed, and not counted yet"
        assert backlog.take(10) == first, "what is not counted is not there"
        assert backlog.take(10, wait_seconds=0.01) == [], "nor waited for without end"
        slow.gate.set()
        appended.result(SECONDS_MAX)
    assert backlog.take(10) == second
    backlog.remove(2)
    backlog.append(third)
    assert backlog.take(10) == third
    backlog.remove(3)
    assert backlog.take(10, wait_seconds=0.01) == [] and len(backlog) == 0


def test_a_journal_that_lost_what_it_counted_says_so_and_does_not_go_on(
    journal: OpenJournal, handles: Handles
) -> None:
    backlog = journal(connect=handles)
    backlog.append(entries(1))
    handles.journal().writer.execute("DELETE FROM entries")
    with pytest.raises(sqlite3.DatabaseError, match="lacks entries"):
        backlog.take(10)


# -- a damaged file is a person's ------------------------------------------------------


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def random_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(7).randbytes(2 * 4096))


def another_schema(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE entries (transfer_id, memo)")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 2])


@pytest.mark.parametrize("damage", [zeros, random_pages, another_schema, cut_short])
def test_a_damaged_journal_is_refused_and_kept_as_it_is(
    journal: OpenJournal, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    before, path = journal(), tmp_path / "store" / "journal.db"
    before.append(entries(200))
    before.close()
    damage(path)
    damaged = path.read_bytes()
    for _ in range(2):
        with pytest.raises(Refused, match="is damaged .*STORE_JOURNAL") as refused:
            journal(1000)
        assert "\n" not in str(refused.value) and exit_status(refused.value) == 65
    assert path.read_bytes() == damaged


def test_a_journal_that_cannot_be_opened_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder.db", tmp_path / "file" / "journal.db"):
        with pytest.raises(Defect, match="STORE_JOURNAL"):
            Journal(path, 10)
