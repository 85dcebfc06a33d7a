"""A Store that serves HTTP on loopback as it does in production, without Kafka.

Everything from the socket to the committer is real; only the emitter is played.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from http import HTTPStatus
from http.client import parse_headers
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import uvloop

from local.processes.waiting import wait_until
from once.health import Progress
from producers.store.account_changes import ChangeChunk
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.api.app import create_app
from producers.store.api.auth import Doorman, anyone
from producers.store.api.server import Server, StoreConfig
from producers.store.assembly import assemble
from producers.store.backlog import MemoryBacklog
from producers.store.clerk import Clerk
from producers.store.emitter import Emitter
from producers.store.index import Index
from producers.store.receipts import new_emitter
from producers.store.settings import ServeSettings
from producers.store.states import Verdicts
from producers.store.transfers import Chunk
from producers.store.watchers import Watchers

SECONDS_MAX = 20.0  # for what should take none
DEMO = {
    "demo": True,
    "bootstrap_servers": "unused:1",
    "registry_url": "http://unused",
    "drain_seconds_max": 1.0,
    "port": 0,
}
FIELDS = {"debit_account": 1, "credit_account": 2, "amount": 250, "currency": "EUR"}
PAYMENT = json.dumps(FIELDS).encode()


class PlayedEmitter(Emitter):
    """Acknowledges every chunk at once, or as soon as `kafka` is set again."""

    def __init__(self, kafka: threading.Event) -> None:
        self._kafka = kafka
        self._incarnation = new_emitter()

    @property
    def incarnation(self) -> bytes:
        return self._incarnation

    def start(self) -> None:
        pass

    def refresh(self) -> None:
        pass

    def emit(self, chunk: Chunk | ChangeChunk, receipts: Sequence[Any] = ()) -> None:
        self._kafka.wait()


class Served:
    """One Store; clear `kafka` and nothing is committed until it is set again."""

    def __init__(self, folder: Path, doorman: Doorman, settings: ServeSettings) -> None:
        self.kafka = threading.Event()
        self.kafka.set()
        # Method, route and status of the requests that ended.
        self.ended: queue.Queue[tuple[str, str, int]] = queue.Queue()
        self._index = Index(folder / "index", Verdicts(), kept=False)
        backlog = MemoryBacklog(settings.queue_transfers_max)
        self.watchers = Watchers()
        self._parts = assemble(
            backlog,
            self._index,
            open_emitters=lambda pause: [PlayedEmitter(self.kafka)],
            watchers=self.watchers,
            soon=self._soon,
            failed=lambda error: None,
            progress=Progress(60),
            records_max=settings.transaction_records_max,
            interval_seconds=0.002,
            queued_after_seconds=settings.queued_after_ms / 1000,
        )
        self.desk = self._parts.desk
        self._clerk = Clerk(
            self.desk,
            self._index,
            open_emitters=lambda pause: [PlayedEmitter(self.kafka)],
            acknowledged=AcknowledgementLog(None),
            notify=lambda ids: self._soon(self.watchers.notify, ids),
        )
        app = create_app(self.desk, self._clerk, doorman, settings, self._observe)
        ports: queue.Queue[int] = queue.Queue()
        config = StoreConfig(app, settings)
        self.connections = config.limits.connections
        self._server = Server(config, leave=self.watchers.leave, listening=ports.put)
        self._thread = ThreadPoolExecutor(1)
        self._done = self._thread.submit(lambda: uvloop.run(self._serve()))
        self.address = ("127.0.0.1", ports.get(timeout=SECONDS_MAX))

    def close(self) -> None:
        """Drain. Raises whatever the server ended with."""
        self.kafka.set()
        self._server.should_exit = True
        self._done.result()
        self._thread.shutdown()
        self._index.close()

    def connect(self) -> Connection:
        """A bare connection to it."""
        return Connection(socket.create_connection(self.address, SECONDS_MAX))

    def protocols(self) -> list[Any]:
        """Of the connections that are open, below uvicorn."""
        return list(self._server.server_state.connections)

    def asked(self) -> int:
        """How many requests are there as a whole and have no answer yet."""
        return sum(each.answering for each in self.protocols())

    def http(self) -> httpx.Client:
        """A client of it that keeps connections alive."""
        url = "http://{}:{}".format(*self.address)
        json = {"Content-Type": "application/json"}
        return httpx.Client(
            base_url=url, headers=json, timeout=SECONDS_MAX, trust_env=False
        )

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts.start()
        await self._server.serve()
        await self._parts.drain(SECONDS_MAX)
        await self._clerk.close()

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.ended.put((method, route, status))


@contextmanager
def serving(
    folder: Path, doorman: Doorman = anyone, **settings: object
) -> Iterator[Served]:
    """A Store with these settings beside those of a demo.

    With a doorman of one's own it is none: only its HTTP is as plain.
    """
    found = ServeSettings.model_validate({**DEMO, **settings})
    found = found.model_copy(update={"demo": doorman is anyone})
    served = Served(folder, doorman, found)
    try:
        yield served
    finally:
        served.close()


class Answer(NamedTuple):
    """One HTTP response as it came."""

    status: int
    headers: Message
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem that it must be."""
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        return found


class Connection:
    """Bytes out, answers in."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._stream: BufferedReader = connected.makefile("rb")
        self.headers = Message()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it, whether or not anything comes back."""
        self.socket.sendall(data)

    def head(self) -> int | None:
        """The status of the next response; None: the connection was closed in order.

        Its headers are kept for what reads its body.
        """
        line = self._stream.readline()
        if not line:
            return None
        self.headers = parse_headers(self._stream)
        return int(line.split()[1])

    def piece(self) -> bytes:
        """The next chunk of the body; empty after the last one."""
        piece = self._stream.read(int(self._stream.readline(), 16))
        self._stream.readline()
        return piece

    def answer(self, bare: bool = False) -> Answer | None:
        """The next response; None: the connection was closed in order.

        `bare`: it has no body, as those to HEAD.
        """
        status = self.head()
        if status is None:
            return None
        headers = self.headers
        if bare or status == HTTPStatus.NO_CONTENT:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(iter(self.piece, b"")))
        return Answer(
            status, headers, self._stream.read(int(headers["content-length"]))
        )

    def statuses(self) -> list[int]:
        """The statuses of all responses until the connection was closed in order."""
        return [each.status for each in iter(self.answer, None)]

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long; the connection stays as it is."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(SECONDS_MAX)
        return False


def head(line: str, *headers: str) -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{line} HTTP/1.1", "Host: store", *headers, "\r\n")).encode()


def put(*headers: str, body: bytes = PAYMENT) -> bytes:
    """A PUT under a new id."""
    line = f"PUT /v1/transfers/{uuid4()}"
    length = f"Content-Length: {len(body)}"
    return head(line, length, *_as_json(headers), *headers) + body


def put_chunked(*headers: str, body: bytes = PAYMENT, trailers: bytes = b"") -> bytes:
    """The same without a length, `trailers` behind the body."""
    line = f"PUT /v1/transfers/{uuid4()}"
    start = head(line, "Transfer-Encoding: chunked", *_as_json(headers), *headers)
    return start + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)


def _as_json(headers: Sequence[str]) -> list[str]:
    said = any(header.startswith("Content-Type:") for header in headers)
    return [] if said else ["Content-Type: application/json"]


def until(holds: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Wait for what another thread of this process does in a moment."""
    wait_until(holds, what=what, timeout_seconds=seconds, interval_seconds=0.01)
