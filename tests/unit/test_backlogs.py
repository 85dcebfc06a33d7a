"""Both backlogs are held to the same claims; the journal to more in test_journal.py."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from producers.store.backlog import Backlog, Entry, Full, MemoryBacklog
from producers.store.journal import Journal
from tests.unit.entries import SECONDS_MAX, entries, entry, ids

Open = Callable[[int], Backlog]


@pytest.fixture(params=["memory", "journal"])
def backlog_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a backlog with room for so many entries, in one form or the other."""
    opened: list[Backlog] = []

    def open_(entries_max: int) -> Backlog:
        if request.param == "memory":
            opened.append(MemoryBacklog(entries_max))
        else:
            opened.append(Journal(tmp_path / "journal.db", entries_max))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


# -- both ------------------------------------------------------------------------------


def test_entries_are_taken_once_and_in_the_order_they_came(backlog_of: Open) -> None:
    backlog, sent = backlog_of(100), entries(7)
    backlog.append(sent[:2])
    backlog.append(sent[2:6])
    assert backlog.take(3) == sent[:3]
    backlog.append(sent[6:])
    assert backlog.take(100) == sent[3:]
    assert backlog.take(100) == []


def test_a_full_backlog_refuses_and_drops_nothing(backlog_of: Open) -> None:
    backlog, sent, refused = backlog_of(3), entries(3), entries(2)
    backlog.append(sent[:2])
    with pytest.raises(Full):
        backlog.append(refused)
    assert len(backlog) == 2 and backlog.room() == 1
    assert backlog.find(ids(refused)) == []
    backlog.append(sent[2:])
    assert backlog.room() == 0
    assert backlog.take(100) == sent


def test_room_comes_back_by_removing_and_not_by_taking(backlog_of: Open) -> None:
    backlog = backlog_of(2)
    backlog.append(entries(2))
    backlog.take(100)
    with pytest.raises(Full):
        backlog.append(entries(1))
    backlog.remove(1)
    assert backlog.room() == 1 and len(backlog) == 1
    backlog.append(entries(1))


def test_numbers_grow_by_one_for_each_entry(backlog_of: Open) -> None:
    backlog = backlog_of(100)
    first = backlog.append(entries(1))
    assert backlog.append(entries(3)) == first + 3
    backlog.take(100)
    assert backlog.remove(2) == first + 1
    assert backlog.remove(2) == first + 3
    assert backlog.append(entries(2)) == first + 5


def test_a_refused_append_uses_no_numbers(backlog_of: Open) -> None:
    backlog = backlog_of(2)
    first = backlog.append(entries(1))
    with pytest.raises(Full):
        backlog.append(entries(2))
    assert backlog.append(entries(1)) == first + 1


def test_what_was_taken_is_found_until_it_is_removed(backlog_of: Open) -> None:
    backlog, sent = backlog_of(100), entries(3)
    backlog.append(sent)
    backlog.take(2)
    assert sorted(backlog.find(ids(sent))) == sorted(each.receipt for each in sent)
    backlog.remove(2)
    assert backlog.find(ids(sent)) == [sent[2].receipt]
    assert backlog.take(100) == sent[2:]
    backlog.remove(1)
    assert backlog.find(ids(sent)) == [] and len(backlog) == 0


def test_every_entry_under_an_id_is_found_whosever_it_is(backlog_of: Open) -> None:
    backlog, one = backlog_of(100), uuid4()
    mine, theirs = entry("ada", transfer_id=one), entry("bob", transfer_id=one)
    backlog.append([mine, entry(), theirs])
    both = backlog.find([one.bytes, uuid4().bytes])
    assert sorted(both) == sorted([mine.receipt, theirs.receipt])
    backlog.take(1)
    backlog.remove(1)
    assert backlog.find([one.bytes]) == [theirs.receipt]


def test_thirty_thousand_ids_are_looked_up_at_once(backlog_of: Open) -> None:
    backlog, sent = backlog_of(100), entries(2)
    backlog.append(sent)
    unknown = [UUID(int=number).bytes for number in range(29_998)]
    assert len(backlog.find(unknown + ids(sent))) == 2


def test_an_empty_backlog_gives_nothing_after_the_wait(backlog_of: Open) -> None:
    assert backlog_of(1).take(10, linger_seconds=SECONDS_MAX, wait_seconds=0.01) == []


def test_who_waits_is_woken_by_what_comes(backlog_of: Open) -> None:
    backlog, sent = backlog_of(10), entries(1)
    with ThreadPoolExecutor(1) as other:
        taken = other.submit(backlog.take, 10, wait_seconds=3 * SECONDS_MAX)
        backlog.append(sent)
        assert taken.result(SECONDS_MAX) == sent


def test_lingering_ends_when_there_is_enough(backlog_of: Open) -> None:
    backlog, sent = backlog_of(10), entries(3)
    backlog.append(sent[:1])
    with ThreadPoolExecutor(1) as other:
        taken = other.submit(backlog.take, 2, linger_seconds=3 * SECONDS_MAX)
        backlog.append(sent[1:])
        assert taken.result(SECONDS_MAX) == sent[:2]


def test_lingering_for_more_that_does_not_come_ends_too(backlog_of: Open) -> None:
    backlog, sent = backlog_of(10), entries(1)
    backlog.append(sent)
    assert backlog.take(2, linger_seconds=0.01, wait_seconds=0) == sent


def test_nothing_is_lost_or_doubled_between_two_threads(backlog_of: Open) -> None:
    backlog, sent, removed = backlog_of(50), entries(600), threading.Event()

    def append() -> None:
        for at in range(0, len(sent), 6):
            while backlog.room() < 6:
                removed.clear()
                if backlog.room() < 6:
                    assert removed.wait(SECONDS_MAX)
            backlog.append(sent[at : at + 6])

    taken: list[Entry] = []
    with ThreadPoolExecutor(1) as other:
        appended = other.submit(append)
        while len(taken) < len(sent):
            some = backlog.take(40, wait_seconds=SECONDS_MAX)
            assert some, "nothing came"
            taken += some
            backlog.remove(len(some))
            removed.set()
        appended.result(SECONDS_MAX)
    assert taken == sent and len(backlog) == 0


# -- in memory: nothing was promised, so it can be taken back --------------------------


def test_what_was_withdrawn_is_gone_and_the_rest_keeps_its_order() -> None:
    backlog, sent = MemoryBacklog(6), entries(6)
    last = backlog.append(sent)
    assert backlog.withdraw(last - 3, last - 2)
    left = sent[:2] + sent[4:]
    assert len(backlog) == 4 and backlog.room() == 2
    assert sorted(backlog.find(ids(sent))) == sorted(each.receipt for each in left)
    assert backlog.take(3) == left[:3]
    assert backlog.remove(3) == last - 1
    assert backlog.take(100) == left[3:]


def test_what_was_taken_in_part_cannot_be_withdrawn() -> None:
    backlog, sent = MemoryBacklog(10), entries(4)
    last = backlog.append(sent)
    backlog.take(2)
    assert not backlog.withdraw(last - 2, last)
    assert len(backlog) == 4
    assert backlog.withdraw(last - 1, last), "of these none is taken"
    backlog.remove(2)
    assert not backlog.withdraw(last - 3, last - 2), "nor when they are gone"


def test_when_all_was_withdrawn_there_is_nothing_to_take() -> None:
    backlog = MemoryBacklog(10)
    last = backlog.append(entries(2))
    assert backlog.withdraw(last - 1, last)
    assert backlog.take(10, linger_seconds=SECONDS_MAX, wait_seconds=0) == []
    sent = entries(1)
    assert backlog.append(sent) == last + 1
    assert backlog.take(10) == sent


def test_withdrawing_all_through_an_outage_takes_no_memory() -> None:
    backlog, (sent,) = MemoryBacklog(10), entries(1)

    def outage(requests: int) -> None:
        for _ in range(requests):
            number = backlog.append([sent])
            assert backlog.withdraw(number, number)

    outage(100)
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        outage(20_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
