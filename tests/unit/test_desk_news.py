"""The desk's news: every state of a transfer once, and an end to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from producers.store.backlog import Backlog
from producers.store.problems import Kind, Problem
from producers.store.states import State
from tests.unit.scripted_store import (
    LONG,
    SOON,
    Store,
    hold,
    kind,
    memory,
    send,
    state,
    transfer,
    until,
)

pytestmark = pytest.mark.usefixtures("impatient")


# -- news ------------------------------------------------------------------------------


def test_news_are_every_state_once_and_end_with_the_final_one(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine, seen = transfer(), list[State]()
        first = asyncio.create_task(send(store, mine))
        await until(lambda: store.kafka.sending)

        async def follow() -> None:
            async for status in store.desk.news("ada", mine.transfer_id):
                seen.append(status.state)
                store.watchers.notify([mine.transfer_id.bytes])  # nothing new

        following = asyncio.create_task(follow())
        await until(lambda: seen == [State.QUEUED])
        store.kafka.answers.set()
        await until(lambda: seen == [State.QUEUED, State.COMMITTED])
        store.bank_says(uuid4(), "POSTED")  # another's
        store.bank_says(mine.transfer_id, "POSTED")
        await following
        await first
        assert seen == [State.QUEUED, State.COMMITTED, State.POSTED]
        assert len(store.watchers) == 0

    hold(claim, backlog, tmp_path, away="answers")


def test_news_of_what_is_final_are_one_and_the_end(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        await send(store, mine)
        store.bank_says(mine.transfer_id, "EXISTS")
        news = [s.state async for s in store.desk.news("ada", mine.transfer_id)]
        assert news == [State.EXISTS]
        final = await store.desk.final("ada", mine.transfer_id, LONG)
        assert final.state is State.EXISTS

    hold(claim, memory(), tmp_path)


def test_news_end_when_the_store_leaves(tmp_path: Path) -> None:
    async def claim(store: Store) -> None:
        mine, seen = transfer(), list[State]()
        await send(store, mine)

        async def follow() -> None:
            async for status in store.desk.news("ada", mine.transfer_id):
                seen.append(status.state)

        following = [asyncio.create_task(follow()) for _ in range(2)]
        final = asyncio.create_task(store.desk.final("ada", mine.transfer_id, LONG))
        await until(lambda: len(seen) == 2)
        store.watchers.leave()
        await asyncio.gather(*following)
        assert (await final).state is State.COMMITTED
        assert seen == [State.COMMITTED] * 2
        await follow()
        assert len(seen) == 2, "nor does anybody begin to wait"

    hold(claim, memory(), tmp_path)


def test_waiting_for_the_final_state_ends_with_it_or_with_the_time(
    tmp_path: Path,
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        await send(store, mine)
        now = await store.desk.final("ada", mine.transfer_id, SOON)
        assert now.state is State.COMMITTED
        final = asyncio.create_task(store.desk.final("ada", mine.transfer_id, LONG))
        await until(lambda: len(store.watchers) == 1)
        store.bank_says(mine.transfer_id, "DECLINED_SAME_ACCOUNT")
        assert (await final).reason == "SAME_ACCOUNT"

    hold(claim, memory(), tmp_path)


# -- leaving, and what is not known ----------------------------------------------------


def test_a_store_that_leaves_takes_nothing_new_and_still_answers(
    backlog: Backlog, tmp_path: Path
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        await send(store, mine)
        await store.intake.close()
        assert kind(await send(store, transfer())) is Kind.DRAINING
        assert state(await send(store, mine)) is State.COMMITTED

    hold(claim, backlog, tmp_path)


def test_an_unknown_id_is_said_to_be_unknown_only_when_all_was_read(
    tmp_path: Path,
) -> None:
    async def claim(store: Store) -> None:
        mine = transfer()
        await send(store, mine)
        with pytest.raises(Problem) as asked:
            store.desk.status("ada", uuid4())
        assert asked.value.kind is Kind.UNKNOWN_TRANSFER
        store.behind = "2 partitions are still being read"
        with pytest.raises(Problem, match="2 partitions are still being read") as asked:
            store.desk.status("ada", uuid4())
        assert asked.value.kind is Kind.CATCHING_UP
        assert asked.value.retry_after_seconds
        known = store.desk.status("ada", mine.transfer_id)
        assert known.state is State.COMMITTED, "what is known is told"

    hold(claim, memory(), tmp_path)
