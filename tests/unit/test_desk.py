"""The desk: what it says of a transfer is so, whatever Kafka and the disk do."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.store.backlog import Backlog, Entry
from producers.store.intake import Ticket
from producers.store.problems import Kind, Problem
from producers.store.receipts import digest_of
from producers.store.states import State, Status
from tests.unit.handles import Handles, let_grow
from tests.unit.scripted_store import (
    LONG,
    SECONDS_MAX,
    SOON,
    Store,
    hold,
    journal,
    kind,
    memory,
    send,
    state,
    transfer,
    until,
)

pytestmark = pytest.mark.usefixtures("impatient")


# -- the same id again -----------------------------------------------------------------


def test_a_new_transfer_is_committed_once(backlog: Backlog, tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        status = await store.desk.send("ada", mine, LONG)
        assert status == Status(State.COMMITTED, digest_of(mine))
        assert store.kafka.log == [mine.transfer_id.bytes]
        assert store.desk.status("ada", mine.transfer_id) == status

    hold(claim, backlog, tmp_path)


def test_a_repeat_is_told_the_status_and_not_sent(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine, poor = transfer(), transfer()
        for each in (mine, poor):
            assert state(await send(store, each)) is State.COMMITTED
            assert state(await send(store, each)) is State.COMMITTED
        store.bank_says(mine.transfer_id, "POSTED")
        store.bank_says(poor.transfer_id, "DECLINED_INSUFFICIENT_FUNDS")
        assert state(await send(store, mine)) is State.POSTED
        assert await send(store, poor) == Status(
            State.DECLINED, digest_of(poor), "INSUFFICIENT_FUNDS"
        )
        assert len(store.kafka.log) == 2

    hold(claim, backlog, tmp_path)


def test_another_payload_under_an_id_is_refused_however_far_the_first_is(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        other = transfer(mine.transfer_id, mine.amount + 1)
        first = asyncio.create_task(send(store, mine))
        await until(lambda: store.kafka.sending)
        answers = [await send(store, other)]
        store.kafka.answers.set()
        await first
        answers.append(await send(store, other))
        store.bank_says(mine.transfer_id, "POSTED")
        answers.append(await send(store, other))
        assert [kind(answer) for answer in answers] == [Kind.ID_TAKEN] * 3
        assert Kind.ID_TAKEN.status == 409
        assert store.kafka.log == [mine.transfer_id.bytes]

    hold(claim, backlog, tmp_path, away="answers")


def test_another_clients_id_is_refused_and_nothing_is_told_of_its_payment(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        guesses = [mine, transfer(mine.transfer_id, mine.amount + 1)]
        first = asyncio.create_task(send(store, mine))
        await until(lambda: store.kafka.sending)
        answers = [await send(store, guess, "eve") for guess in guesses]
        store.kafka.answers.set()
        await first
        answers += [await send(store, guess, "eve") for guess in guesses]
        store.bank_says(mine.transfer_id, "POSTED")
        answers += [await send(store, guess, "eve") for guess in guesses]
        assert {kind(answer) for answer in answers} == {Kind.ID_TAKEN}
        assert len({str(answer) for answer in answers}) == 1, "right or wrong, the same"
        with pytest.raises(Problem) as asked:
            store.desk.status("eve", mine.transfer_id)
        assert asked.value.kind is Kind.UNKNOWN_TRANSFER
        assert store.kafka.log == [mine.transfer_id.bytes]

    hold(claim, backlog, tmp_path, away="answers")


def test_repeats_of_what_is_queued_wait_for_the_first(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        first = asyncio.create_task(send(store, mine))
        await until(lambda: store.kafka.sending)
        repeats = [asyncio.create_task(send(store, mine)) for _ in range(3)]
        await until(lambda: len(store.watchers) == 1)
        assert not any(each.done() for each in (first, *repeats))
        store.kafka.answers.set()
        answers = await asyncio.gather(first, *repeats)
        assert [state(answer) for answer in answers] == [State.COMMITTED] * 4
        assert store.kafka.log == [mine.transfer_id.bytes]
        await until(lambda: len(store.watchers) == 0)

    hold(claim, memory(), tmp_path, away="answers")


def test_what_comes_twice_in_one_batch_is_sent_once(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        one, two = transfer(), transfer()
        other = transfer(one.transfer_id, one.amount + 1)
        answers = await store.desk.send_all("ada", [one, one, other, two, one], LONG)
        committed = Status(State.COMMITTED, digest_of(one))
        assert answers[0] == answers[1] == answers[4] == committed
        assert kind(answers[2]) is Kind.ID_TAKEN
        assert answers[3] == Status(State.COMMITTED, digest_of(two))
        assert store.kafka.log == [one.transfer_id.bytes, two.transfer_id.bytes]

    hold(claim, backlog, tmp_path)


def test_many_at_once_are_each_sent_once_and_in_the_order_they_came(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        lines = [transfer() for _ in range(50)]
        answers = await asyncio.gather(*(send(store, each) for each in lines * 2))
        assert {state(answer) for answer in answers} == {State.COMMITTED}
        assert store.kafka.log == [each.transfer_id.bytes for each in lines]

    hold(claim, backlog, tmp_path)


def test_a_client_that_goes_takes_nothing_with_it(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        gone = asyncio.create_task(send(store, mine))
        await until(lambda: store.kafka.sending)
        gone.cancel()
        await asyncio.wait([gone])
        store.kafka.answers.set()
        assert state(await send(store, mine)) is State.COMMITTED
        assert store.kafka.log == [mine.transfer_id.bytes]

    hold(claim, backlog, tmp_path, away="answers")


# -- Kafka away ------------------------------------------------------------------------


def test_without_a_journal_nothing_is_kept_for_a_kafka_that_is_away(
    tmp_path: Path,
) -> None:
    async def claim(store: Store) -> None:
        mine, began = transfer(), time.monotonic()
        assert kind(await send(store, mine, within_seconds=SOON)) is Kind.KAFKA_AWAY
        assert time.monotonic() - began < SECONDS_MAX
        assert len(store.backlog) == 0
        with pytest.raises(Problem) as asked:
            store.desk.status("ada", mine.transfer_id)
        assert asked.value.kind is Kind.UNKNOWN_TRANSFER
        store.kafka.reachable.set()
        later = transfer()
        assert state(await send(store, later)) is State.COMMITTED
        assert store.kafka.log == [later.transfer_id.bytes], "it was never sent"
        assert state(await send(store, mine)) is State.COMMITTED

    hold(claim, memory(), tmp_path, away="reachable")


def test_without_a_journal_what_is_under_way_is_not_known(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        mine, began = transfer(), time.monotonic()
        first = asyncio.create_task(send(store, mine, within_seconds=SOON))
        await until(lambda: store.kafka.sending)
        repeat = asyncio.create_task(send(store, mine, within_seconds=SOON))
        assert kind(await first) is Kind.OUTCOME_UNKNOWN
        assert kind(await repeat) is Kind.OUTCOME_UNKNOWN
        assert time.monotonic() - began < SECONDS_MAX
        store.kafka.answers.set()
        assert state(await send(store, mine)) is State.COMMITTED
        assert store.kafka.log == [mine.transfer_id.bytes]

    hold(claim, memory(), tmp_path, away="answers")


def test_a_repeat_of_what_is_withdrawn_meanwhile_is_promised_nothing(
    tmp_path: Path,
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        first = asyncio.create_task(send(store, mine, within_seconds=SOON))
        await until(lambda: len(store.backlog) == 1)
        repeat = asyncio.create_task(send(store, mine, within_seconds=3 * SOON))
        assert kind(await first) is Kind.KAFKA_AWAY
        assert kind(await repeat) is Kind.OUTCOME_UNKNOWN
        store.kafka.reachable.set()
        assert state(await send(store, mine)) is State.COMMITTED

    hold(claim, memory(), tmp_path, away="reachable")


@pytest.mark.parametrize("away", ["reachable", "answers"])
def test_with_a_journal_it_is_queued_and_committed_later(
    tmp_path: Path, away: str
) -> None:
    async def claim(store: Store) -> None:
        mine, began = transfer(), time.monotonic()
        queued = Status(State.QUEUED, digest_of(mine))
        assert await send(store, mine) == queued
        assert await send(store, mine) == queued, "also when it comes again"
        assert time.monotonic() - began < SECONDS_MAX, "long before the deadline"
        assert store.desk.status("ada", mine.transfer_id) == queued
        getattr(store.kafka, away).set()
        status = store.desk.status("ada", mine.transfer_id)
        async for status in store.desk.news("ada", mine.transfer_id):
            if status.state is State.COMMITTED:
                break
        assert store.kafka.log == [mine.transfer_id.bytes]

    hold(claim, journal(tmp_path), tmp_path, away, queued_after_seconds=SOON)


def test_a_full_backlog_refuses_the_request_and_drops_nothing(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        lines = [transfer() for _ in range(2)]
        sent = [asyncio.create_task(send(store, each)) for each in lines]
        await until(lambda: store.backlog.room() == 1)
        refused = await store.desk.send_all("ada", [transfer(), transfer()], LONG)
        assert [kind(answer) for answer in refused] == [Kind.BACKLOG_FULL] * 2
        assert all(
            isinstance(each, Problem) and each.retry_after_seconds for each in refused
        )
        assert len(store.backlog) == 2, "a batch fits as a whole or not at all"
        repeat = asyncio.create_task(send(store, lines[0]))
        store.kafka.answers.set()
        answers = await asyncio.gather(*sent, repeat)
        assert {state(answer) for answer in answers} == {State.COMMITTED}
        assert store.kafka.log == [each.transfer_id.bytes for each in lines]

    hold(claim, memory(3), tmp_path, away="answers")


def test_requests_that_wait_for_the_disk_take_room_too(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        sent = [asyncio.create_task(send(store, transfer())) for _ in range(5)]
        answers = await asyncio.gather(*sent)
        assert [kind(answer) for answer in answers].count(Kind.BACKLOG_FULL) == 2
        assert [state(answer) for answer in answers].count(State.QUEUED) == 3
        assert len(store.backlog) == 3

    hold(claim, journal(tmp_path, 3), tmp_path, "reachable", queued_after_seconds=SOON)


def test_an_outage_leaves_no_tickets_behind(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        for _ in range(3):
            lines = [transfer() for _ in range(20)]
            answers = [send(store, each, within_seconds=SOON) for each in lines]
            refused = await asyncio.gather(*answers)
            assert all(isinstance(answer, Problem) for answer in refused)
        gc.collect()
        tickets = sum(isinstance(each, Ticket) for each in gc.get_objects())
        assert tickets <= 20, "those of the last moment"

    hold(claim, memory(), tmp_path, away="reachable")


def test_who_holds_a_ticket_hears_when_all_of_it_is_committed_and_not_before(
    tmp_path: Path,
) -> None:
    async def claim(store: Store) -> None:
        entries = [Entry.of(transfer(), "ada") for _ in range(5)]
        one, two = store.intake.offer(entries[:2]), store.intake.offer(entries[2:])
        first, second = await one, await two
        assert (second.first, second.last) == (first.last + 1, first.last + 3)
        store.intake.committed(first.last - 1)
        assert not first.committed.done()
        store.intake.committed(second.last - 1)
        assert first.committed.done() and not second.committed.done()
        store.intake.committed(second.last)
        assert second.committed.done()

    hold(claim, memory(), tmp_path, away="reachable")


# -- the disk --------------------------------------------------------------------------


def busy(folder: Path) -> Callable[[], None]:
    """Keep the journal from writing until this is called."""
    other = sqlite3.connect(folder / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def test_a_repeat_is_not_promised_what_the_journal_then_refuses(
    tmp_path: Path, handles: Handles
) -> None:
    backlog = journal(tmp_path, connect=handles)

    async def claim(store: Store) -> None:
        let_grow(handles.journal().writer, 0)  # for some forty transfers
        ready = busy(tmp_path)
        mine = [transfer() for _ in range(80)]
        first = asyncio.create_task(store.desk.send_all("ada", mine, LONG))
        await asyncio.sleep(0)
        repeat = await send(store, mine[0])
        assert kind(repeat) is Kind.OUTCOME_UNKNOWN, "nothing is on the disk yet"
        ready()
        assert {kind(answer) for answer in await first} == {Kind.JOURNAL_FAILED}
        with pytest.raises(Problem) as asked:
            store.desk.status("ada", mine[0].transfer_id)
        assert asked.value.kind is Kind.UNKNOWN_TRANSFER
        assert store.kafka.log == []

    hold(claim, backlog, tmp_path, queued_after_seconds=SOON)


def test_what_the_journal_refused_is_taken_when_the_disk_is_well(
    tmp_path: Path, handles: Handles
) -> None:
    backlog = journal(tmp_path, connect=handles)

    async def claim(store: Store) -> None:
        let_grow(handles.journal().writer, 0)  # for some forty transfers
        mine = [transfer() for _ in range(80)]
        refused = await store.desk.send_all("ada", mine, LONG)
        assert {kind(answer) for answer in refused} == {Kind.JOURNAL_FAILED}
        assert len(backlog) == 0 and backlog.room() == 100
        let_grow(handles.journal().writer, 100_000)
        answers = await store.desk.send_all("ada", mine, LONG)
        assert {state(answer) for answer in answers} <= {State.QUEUED, State.COMMITTED}
        await until(lambda: len(store.kafka.log) == 80)

    hold(claim, backlog, tmp_path)


def test_what_came_before_the_store_leaves_is_appended(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        ready = busy(tmp_path)
        sent = []
        for _ in range(3):  # one is being written, two wait
            sent.append(asyncio.create_task(send(store, transfer())))
            await asyncio.sleep(0)
        closing = asyncio.create_task(store.intake.close())
        await asyncio.sleep(0)
        assert kind(await send(store, transfer())) is Kind.DRAINING
        ready()
        await closing
        assert len(store.backlog) == 3
        answers = await asyncio.gather(*sent)
        assert {state(answer) for answer in answers} == {State.QUEUED}

    hold(claim, journal(tmp_path), tmp_path, "reachable", queued_after_seconds=SOON)
