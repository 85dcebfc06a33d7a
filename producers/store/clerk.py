"""Changes of accounts that come by HTTP: each in a Kafka transaction of its own.

    request -> clerk -> emitter -> Kafka
    answer  <- desk  <- index   <- clerk, follower

They are few, and whoever asks for one waits for it; so there is no backlog, and no
journal. While Kafka is away nothing is accepted. Otherwise they are what transfers are:
receipts say whose they are, and the index knows what became of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from once import logs
from once.errors import Defect, OnceError
from producers.store.account_changes import AccountChange, ChangeChunk
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.committer import Pause, note
from producers.store.desk import Desk
from producers.store.emitter import Emitter
from producers.store.facts import Facts
from producers.store.index import Index
from producers.store.intake import RETRY_AFTER_SECONDS
from producers.store.problems import Kind, Problem
from producers.store.receipts import Receipt, by_client
from producers.store.states import State, Status

log = logs.get(__name__)

QUEUED_MAX = 100  # more at once are asked to come again


class _GaveUp(Exception):
    """Nobody waits for it any more."""


class Clerk:
    """Sends changes of accounts. Lives in the event loop, with a thread of its own."""

    def __init__(
        self,
        desk: Desk,
        index: Index,
        *,
        open_emitters: Callable[[Pause], Sequence[Emitter]],
        acknowledged: AcknowledgementLog,
        notify: Callable[[Sequence[bytes]], object],
    ) -> None:
        """`open_emitters` is called when the first change comes; `notify(ids)` tells
        those who wait for news. Both are called in the thread."""
        self._desk = desk
        self._index = index
        self._open_emitters = open_emitters
        self._acknowledged = acknowledged
        self._notify = notify
        self._emitter: Emitter | None = None
        self._queued = 0
        self._until = 0.0  # by the monotonic clock, of the one that is being sent
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clerk")

    async def close(self) -> None:
        """Let go of what nobody can be told of any more; a call to Kafka may last."""
        self._until = 0.0
        end = partial(self._thread.shutdown, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, end)

    async def send(
        self, client: str, change: AccountChange, within_seconds: float
    ) -> Status:
        """The status of one change, once it is committed. Raises Problem."""
        receipt = Receipt(change.change_id.bytes, client, digest_of(change))
        try:
            known = self._desk.known(receipt)
        except Problem:
            raise _taken() from None
        if known is not None:
            return known
        if self._queued >= QUEUED_MAX:
            detail = f"{self._queued} changes of accounts are waiting already."
            raise Problem(Kind.BUSY, detail, RETRY_AFTER_SECONDS)
        until = time.monotonic() + within_seconds
        loop = asyncio.get_running_loop()
        sending = loop.run_in_executor(self._thread, self._send, change, receipt, until)
        self._queued += 1
        sending.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(within_seconds):
                await asyncio.shield(sending)
        except TimeoutError:
            raise _unknown() from None
        except Defect:
            raise  # a mistake of the deployment: nothing was sent
        except (_GaveUp, OnceError) as error:
            log.warning("a change was not sent", error=str(error))
            raise _unknown() from None
        return Status(State.COMMITTED, receipt.digest)

    def _ended(self, sending: asyncio.Future[None]) -> None:
        """Of whoever gave up waiting, nobody asks how it ended."""
        self._queued -= 1
        if not sending.cancelled():
            sending.exception()

    def _send(self, change: AccountChange, receipt: Receipt, until: float) -> None:
        self._until = until
        if time.monotonic() > until:
            raise _GaveUp("it waited too long behind others")
        if self._emitter is None:
            self._emitter, *_ = self._open_emitters(self._pause)
            self._emitter.start()
        receipts = by_client([receipt])
        self._emitter.emit(ChangeChunk([change]), receipts)
        note(self._index, Facts({self._emitter.incarnation: receipts}))
        self._acknowledged.append([receipt.transfer_id])
        self._notify([receipt.transfer_id])

    def _pause(self, seconds: float) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise _GaveUp("Kafka does not answer")
        time.sleep(min(seconds, left))  # nothing tells us when a service is back


def digest_of(change: AccountChange) -> bytes:
    """Of what the Bank compares when a change_id comes again, 16 bytes."""
    asked = change.model_dump(exclude={"change_id", "created_at_ms"})
    text = "change " + " ".join(f"{name}={value!r}" for name, value in asked.items())
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _taken() -> Problem:
    return Problem(
        Kind.CHANGE_ID_TAKEN,
        "Something else was sent under this change_id before; a new change needs a new "
        "id.",
    )


def _unknown() -> Problem:
    return Problem(
        Kind.OUTCOME_UNKNOWN,
        "It may or may not be sent. Send it again with the same change_id: it has one "
        "effect.",
        RETRY_AFTER_SECONDS,
    )
