"""From many requests to few appends: what arrives together is appended together.

While one append (with a journal: one sync of the disk) runs, the next group gathers.
Lives in the event loop; the append itself runs in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from once import logs
from producers.store.backlog import Backlog, Entry, Full
from producers.store.problems import Kind, Problem
from producers.store.receipts import Receipt
from producers.store.sqlite import is_full

log = logs.get(__name__)

RETRY_AFTER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Ticket:
    """Entries in the backlog, by number, and when Kafka has them all."""

    first: int
    last: int
    committed: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Arrival:
    entries: Sequence[Entry]
    appended: asyncio.Future[Ticket]


class Intake:
    """Appends what arrives to the backlog, and knows how far Kafka has it."""

    def __init__(self, backlog: Backlog) -> None:
        self.backlog = backlog
        self._arriving: list[_Arrival] = []
        self._receipts: dict[bytes, list[Receipt]] = {}  # of what is arriving
        self._count = 0
        self._arrived = asyncio.Event()
        self._tickets: deque[Ticket] = deque()
        self._committed = 0
        self._closed = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to append."""
        self._task = asyncio.create_task(self._run(), name="intake")

    async def close(self) -> None:
        """Refuse what comes from now on; what has come is appended."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._disk.shutdown()

    def offer(self, entries: Sequence[Entry]) -> asyncio.Future[Ticket]:
        """A ticket, once all entries are in the backlog. Raises Problem."""
        if self._closed:
            raise Problem(Kind.DRAINING, "Try another replica.", RETRY_AFTER_SECONDS)
        if self.backlog.room() < self._count + len(entries):
            raise _full(self.backlog)
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._arriving.append(_Arrival(entries, future))
        self._count += len(entries)
        for entry in entries:
            receipts = self._receipts.setdefault(entry.receipt.transfer_id, [])
            receipts.append(entry.receipt)
        self._arrived.set()
        return future

    def find(self, transfer_ids: Sequence[bytes]) -> list[Receipt]:
        """The receipts of what is accepted, or being so, and not in Kafka yet."""
        arriving = self._receipts
        if arriving:
            receipts = [r for each in transfer_ids for r in arriving.get(each, ())]
        else:
            receipts = []
        return receipts + self.backlog.find(transfer_ids)

    def committed(self, number: int) -> None:
        """Kafka has everything up to this number."""
        self._committed = number
        while self._tickets and self._tickets[0].last <= number:
            _resolve(self._tickets.popleft().committed)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closed and not self._arriving):
            await self._arrived.wait()
            self._arrived.clear()
            group, self._arriving = self._arriving, []
            entries = [entry for arrival in group for entry in arrival.entries]
            if not entries:
                continue
            try:
                last = await loop.run_in_executor(
                    self._disk, self.backlog.append, entries
                )
            except Exception as error:  # else every client would wait for ever
                self._refuse(group, error)
            else:
                self._hand_out(group, last - len(entries))
            self._count -= len(entries)
            for entry in entries:
                self._receipts.pop(entry.receipt.transfer_id, None)

    def _refuse(self, group: Sequence[_Arrival], error: Exception) -> None:
        problem = _full(self.backlog)
        if not isinstance(error, Full):
            log.error("the journal failed", error=str(error))
            full = isinstance(error, sqlite3.Error) and is_full(error)
            why = "Its disk is full. " if full else ""
            problem = Problem(
                Kind.JOURNAL_FAILED,
                f"{why}It may be accepted or not. Send it again with the same id.",
                RETRY_AFTER_SECONDS,
            )
        for arrival in group:
            if not arrival.appended.done():
                arrival.appended.set_exception(problem)

    def _hand_out(self, group: Sequence[_Arrival], number: int) -> None:
        loop = asyncio.get_running_loop()
        while self._tickets and self._tickets[0].committed.done():
            self._tickets.popleft()  # who held it has given up
        for arrival in group:
            first, number = number + 1, number + len(arrival.entries)
            if arrival.appended.done():
                continue  # the client has gone
            ticket = Ticket(first, number, loop.create_future())
            arrival.appended.set_result(ticket)
            if number <= self._committed:
                _resolve(ticket.committed)
            else:
                self._tickets.append(ticket)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _full(backlog: Backlog) -> Problem:
    detail = f"{len(backlog)} transfers wait for Kafka; nothing was accepted."
    return Problem(Kind.BACKLOG_FULL, detail, RETRY_AFTER_SECONDS)
