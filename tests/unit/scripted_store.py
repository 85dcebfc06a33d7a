"""A Store without HTTP and without Kafka: all its parts are real but the emitter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

from once.health import Progress
from producers.store.assembly import assemble
from producers.store.backlog import Backlog, MemoryBacklog
from producers.store.committer import Pause
from producers.store.desk import Answer, Desk
from producers.store.emitter import Emitter
from producers.store.facts import Decided, Facts
from producers.store.index import Index
from producers.store.intake import Intake
from producers.store.journal import Journal
from producers.store.problems import Kind, Problem
from producers.store.receipts import ClientReceipts, new_emitter
from producers.store.sqlite import Connect, connect
from producers.store.states import State, Status, Verdicts
from producers.store.transfers import Chunk, Transfer
from producers.store.watchers import Watchers

SECONDS_MAX = 20.0  # for what should take none
SOON = 0.2  # a deadline that passes
LONG = 3 * SECONDS_MAX  # and one that does not


def transfer(transfer_id: UUID | None = None, amount: int = 250) -> Transfer:
    """A payment; the same id and amount are the same payment."""
    return Transfer(
        transfer_id=transfer_id or uuid4(),
        debit_account=1,
        credit_account=2,
        amount=amount,
        currency="EUR",
    )


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.001)


class Kafka:
    """Kafka and the emitter before it: it is there, or away, as the test says.

    It may be away before anything is taken (`reachable`) or once it was (`answers`).
    """

    def __init__(self) -> None:
        self.reachable, self.answers = threading.Event(), threading.Event()
        self.sending: list[bytes] = []  # ids of the transaction under way
        self.log: list[bytes] = []
        self.incarnation = new_emitter()
        self._pause: Pause

    def open_emitters(self, pause: Pause) -> list[Emitter]:
        self._pause = pause
        while not self.reachable.is_set():
            pause(0.001)
        return [cast(Emitter, self)]

    def start(self) -> None:
        """It has started."""

    def refresh(self) -> None:
        """Its keys stay."""

    def emit(self, chunk: Chunk, receipts: Sequence[ClientReceipts] = ()) -> None:
        self.sending = list(chunk.transfer_ids)
        while not self.answers.is_set():
            self._pause(0.001)
        received = [each for client in receipts for each in client.ids()]
        assert sorted(received) == sorted(self.sending)
        self.log += self.sending
        self.sending = []


@dataclass
class Store:
    """The parts of one Store, and what they play with."""

    backlog: Backlog
    index: Index
    intake: Intake
    watchers: Watchers
    desk: Desk
    kafka: Kafka
    behind: str | None = None

    def bank_says(
        self, transfer_id: UUID, verdict: str, first: str = "UNKNOWN"
    ) -> None:
        """What the follower does with a result of the Bank."""
        number = self.index.verdicts.names.index
        decided = Decided(transfer_id.bytes, [number(verdict)], [number(first)])
        self.index.write(Facts(results={self.kafka.incarnation: [decided]}))
        self.watchers.notify([transfer_id.bytes])


Claim = Callable[[Store], Awaitable[None]]


def hold(
    claim: Claim,
    backlog: Backlog,
    folder: Path,
    away: str = "",
    queued_after_seconds: float = LONG,
) -> None:
    """Run a claim on a new Store. `away`: what Kafka is not, as Kafka's fields."""

    async def held() -> None:
        opened = _opened(backlog, folder, queued_after_seconds)
        async with asyncio.timeout(LONG - 1), opened as store:
            for name in {"reachable", "answers"} - {away}:
                getattr(store.kafka, name).set()
            await claim(store)

    asyncio.run(held())


def memory(entries_max: int = 100) -> MemoryBacklog:
    return MemoryBacklog(entries_max)


def journal(
    folder: Path, entries_max: int = 100, connect: Connect = connect
) -> Journal:
    return Journal(folder / "journal.db", entries_max, connect=connect)


@asynccontextmanager
async def _opened(
    backlog: Backlog, folder: Path, queued_after_seconds: float
) -> AsyncIterator[Store]:
    loop = asyncio.get_running_loop()
    index = Index(folder / "index", Verdicts(), kept=False)
    kafka = Kafka()

    def failed(error: Exception) -> None:
        raise AssertionError("nothing fails here") from error

    parts = assemble(
        backlog,
        index,
        open_emitters=kafka.open_emitters,
        watchers=Watchers(),
        soon=loop.call_soon_threadsafe,
        failed=failed,
        progress=Progress(60),
        records_max=1000,
        interval_seconds=0,
        queued_after_seconds=queued_after_seconds,
        behind=lambda: store.behind,
    )
    store = Store(
        backlog, index, parts.intake, parts.watchers, desk=parts.desk, kafka=kafka
    )
    parts.start()
    try:
        yield store
    finally:
        await parts.drain(0.0)
        backlog.close()
        index.close()


def kind(answer: Answer) -> Kind | None:
    return answer.kind if isinstance(answer, Problem) else None


def state(answer: Answer) -> State | None:
    return answer.state if isinstance(answer, Status) else None


async def send(
    store: Store, what: Transfer, client: str = "ada", within_seconds: float = LONG
) -> Answer:
    (answer,) = await store.desk.send_all(client, [what], within_seconds)
    return answer
