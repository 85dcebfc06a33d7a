"""What the API does, without HTTP: accept transfers and tell what became of them.

A transfer_id belongs to the client that sent it first, and to one payload. Whoever
sends it again gets its status; another payload under the same id is refused as far as
this Store knows of it, and by the Bank in any case.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from producers.store.backlog import Entry
from producers.store.index import Index
from producers.store.intake import RETRY_AFTER_SECONDS, Intake, Ticket
from producers.store.problems import Kind, Problem
from producers.store.receipts import Receipt
from producers.store.states import Sent, State, Status
from producers.store.transfers import Transfer
from producers.store.watchers import Watchers

Answer = Status | Problem
T = TypeVar("T")


@dataclass(slots=True)
class _Known:
    """All that is known of one id."""

    sent: list[Sent] = field(default_factory=list)
    queued: list[Receipt] = field(default_factory=list)

    def receipts(self) -> Iterable[Receipt]:
        yield from (each.receipt for each in self.sent)
        yield from self.queued


class Desk:
    """Accepts transfers and answers for them. Lives in the event loop."""

    def __init__(
        self,
        intake: Intake,
        index: Index,
        *,
        watchers: Watchers,
        behind: Callable[[], str | None],
        queued_after_seconds: float,
    ) -> None:
        """`behind()` says why the index may lack what others sent, or None.

        `queued_after_seconds`: how long to wait for Kafka when the journal has it.
        """
        self._intake = intake
        self._index = index
        self._watchers = watchers
        self._behind = behind
        self._queued_after_seconds = queued_after_seconds

    async def send(
        self, client: str, transfer: Transfer, within_seconds: float
    ) -> Status:
        """The status of one transfer, once it is promised. Raises Problem."""
        (answer,) = await self.send_all(client, [transfer], within_seconds)
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def send_all(
        self, client: str, transfers: Sequence[Transfer], within_seconds: float
    ) -> list[Answer]:
        """One answer per transfer, in order; those that are new share one ticket."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_seconds
        entries = [Entry.of(transfer, client) for transfer in transfers]
        known = self._known([entry.receipt.transfer_id for entry in entries])
        answers: dict[int, Answer] = {}
        new: dict[bytes, Entry] = {}
        rows: list[int] = []
        for row, entry in enumerate(entries):
            transfer_id = entry.receipt.transfer_id
            if transfer_id in known:
                answers[row] = self._repeated(entry.receipt, known[transfer_id])
            elif transfer_id in new:
                first = _Known(queued=[new[transfer_id].receipt])
                answers[row] = self._repeated(entry.receipt, first)
            else:
                new[transfer_id] = entry
                rows.append(row)
        fresh = await self._promised([*new.values()], end) if new else State.QUEUED
        for row, answer in answers.items():
            if isinstance(answer, Status) and answer.state is State.QUEUED:
                answers[row] = await self._settled(entries[row].receipt, end)
        answers |= {row: _status(fresh, entries[row]) for row in rows}
        return [answers[row] for row in range(len(entries))]

    def known(self, receipt: Receipt) -> Status | None:
        """The status of what was sent under this id before, None when nothing was.

        Raises Problem when it is somebody else's, or was something else.
        """
        known = self._known([receipt.transfer_id]).get(receipt.transfer_id)
        if known is None:
            return None
        answer = self._repeated(receipt, known)
        if isinstance(answer, Problem):
            raise answer
        return answer

    def status(self, client: str, transfer_id: UUID) -> Status:
        """What is known of a client's transfer. Raises Problem."""
        known = self._known([transfer_id.bytes]).get(transfer_id.bytes)
        status = self._fold(client, known) if known else None
        if status is not None:
            return status
        behind = self._behind()
        if behind is not None:
            detail = f"It may be there, but {behind}."
            raise Problem(Kind.CATCHING_UP, detail, RETRY_AFTER_SECONDS)
        raise Problem(
            Kind.UNKNOWN_TRANSFER,
            f"You sent no transfer {transfer_id} within the time that is kept here; "
            "what is older, or came another way, is in the ledger only. If in doubt, "
            "PUT it again: the same id has one effect.",
        )

    async def final(
        self, client: str, transfer_id: UUID, within_seconds: float
    ) -> Status:
        """The status once it is final, or as it is after `within_seconds`."""
        status = self.status(client, transfer_id)
        try:
            async with asyncio.timeout(within_seconds):
                async for status in self.news(client, transfer_id):
                    pass
        except TimeoutError:
            pass
        return status

    async def news(self, client: str, transfer_id: UUID) -> AsyncGenerator[Status]:
        """Every new status from now on, the present one first, the final one last."""
        async with aclosing(self.pulse(client, transfer_id, None)) as pulse:
            async for status in pulse:
                if status is not None:
                    yield status

    async def pulse(
        self, client: str, transfer_id: UUID, quiet_seconds: float | None
    ) -> AsyncGenerator[Status | None]:
        """The news, and None after each `quiet_seconds` without any."""
        told: Status | None = None
        with self._watchers.watch(transfer_id.bytes) as event:
            while not self._watchers.leaving:
                event.clear()
                status = self.status(client, transfer_id)
                if status != told:
                    yield status
                    told = status
                if status.final:
                    return
                try:
                    async with asyncio.timeout(quiet_seconds):
                        await event.wait()
                except TimeoutError:
                    yield None

    def _known(self, transfer_ids: Sequence[bytes]) -> dict[bytes, _Known]:
        known: dict[bytes, _Known] = defaultdict(_Known)
        # The backlog first: an entry enters the index before it leaves the backlog.
        for receipt in self._intake.find(transfer_ids):
            known[receipt.transfer_id].queued.append(receipt)
        for sent in self._index.find(transfer_ids):
            known[sent.receipt.transfer_id].sent.append(sent)
        return dict(known)

    def _fold(self, client: str, known: _Known) -> Status | None:
        mine = [sent for sent in known.sent if sent.receipt.client == client]
        status = self._index.verdicts.status(mine)
        if status is not None:
            return status
        for receipt in known.queued:
            if receipt.client == client:
                return Status(State.QUEUED, receipt.digest)
        return None

    def _repeated(self, receipt: Receipt, known: _Known) -> Answer:
        """The answer to a transfer whose id is known."""
        status = self._fold(receipt.client, known)
        if status is None:
            return Problem(
                Kind.ID_TAKEN, "Another client sent this transfer_id before."
            )
        mine = [each for each in known.receipts() if each.client == receipt.client]
        same = any(each.digest == receipt.digest for each in mine)
        if not same or (status.final and status.digest != receipt.digest):
            return _other_payload()
        return status

    async def _promised(self, entries: list[Entry], end: float) -> State | Problem:
        """How far these entries are when it is time to answer."""
        ticket: Ticket | None = None
        durable = self._intake.backlog.durable
        try:
            ticket = await _by(end, self._intake.offer(entries))
            if durable:
                now = asyncio.get_running_loop().time()
                end = min(end, now + self._queued_after_seconds)
            await _by(end, ticket.committed)
            return State.COMMITTED
        except TimeoutError:
            if ticket is None:
                return _unknown()
            return State.QUEUED if durable else self._given_up(ticket)
        except Problem as problem:
            return problem

    def _given_up(self, ticket: Ticket) -> Problem:
        if self._intake.backlog.withdraw(ticket.first, ticket.last):
            detail = "Nothing was sent; try again."
            return Problem(Kind.KAFKA_AWAY, detail, RETRY_AFTER_SECONDS)
        return _unknown()

    async def _settled(self, receipt: Receipt, end: float) -> Answer:
        """The status of a repeat whose first sending is under way here."""
        client, transfer_id = receipt.client, UUID(bytes=receipt.transfer_id)
        durable = self._intake.backlog.durable
        wait = end - asyncio.get_running_loop().time()
        if durable:
            wait = min(wait, self._queued_after_seconds)
        try:
            async with asyncio.timeout(wait):
                async for status in self.news(client, transfer_id):
                    if status.state is not State.QUEUED:
                        return status
        except TimeoutError:
            pass
        except Problem:  # the first sending was withdrawn
            return _unknown()
        # While it is on its way into the journal, nothing is promised.
        if durable and receipt in self._intake.backlog.find([receipt.transfer_id]):
            return Status(State.QUEUED, receipt.digest)
        return _unknown()


async def _by(end: float, future: asyncio.Future[T]) -> T:
    """The result of a future that nobody else awaits, or TimeoutError at `end`.

    For the hot path: asyncio.timeout costs as much as the rest of the desk.
    """

    def expire() -> None:
        if not future.done():
            future.set_exception(TimeoutError())

    timer = asyncio.get_running_loop().call_at(end, expire)
    try:
        return await future
    finally:
        timer.cancel()


def _status(fresh: State | Problem, entry: Entry) -> Answer:
    return fresh if isinstance(fresh, Problem) else Status(fresh, entry.receipt.digest)


def _other_payload() -> Problem:
    return Problem(
        Kind.ID_TAKEN,
        "You sent another payment under this transfer_id before; a new payment needs a "
        "new id.",
    )


def _unknown() -> Problem:
    return Problem(
        Kind.OUTCOME_UNKNOWN,
        "It may or may not be sent. Send it again with the same id: it has one effect.",
        RETRY_AFTER_SECONDS,
    )
