"""PUTs at a steady rate, each due at its own moment whatever the Store does meanwhile.

Who waits for an answer before asking again asks nothing during a stall, and so sees
none of it (coordinated omission). Here a latency counts from when the request was due,
be it that it waited for a free connection or for its answer, or was given up.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import uvloop

from loadtest.answers import Answers
from local.platform.accounts import ACCOUNTS, MERCHANTS

GIVEN_UP_SECONDS = 10.0
_TROUBLE = (OSError, EOFError, ValueError, TimeoutError)

MakeRequest = Callable[[int], bytes]


def paced(
    url: str,
    *,
    rate: float,
    seconds: float,
    connections: int,
    request: MakeRequest,
    trust: ssl.SSLContext | None = None,
) -> Answers:
    """`rate` requests a second over so many connections that are kept alive.

    With `trust` by TLS, to a Store that is called `store`.
    """
    at = urlsplit(url)
    assert at.hostname is not None and at.port is not None, url
    run = _Run(at.hostname, at.port, rate, seconds, request, trust)
    return uvloop.run(run.all(connections))


def single_puts(run: str, query: str = "", token: str = "") -> MakeRequest:
    """Single PUTs, every one a transfer of its own; `run` is 8 digits in hex."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    chance = random.Random(run)

    def request(number: int) -> bytes:
        body = (
            f'{{"debit_account":{chance.randint(1, ACCOUNTS)},'
            f'"credit_account":{ACCOUNTS + chance.randint(1, MERCHANTS)},'
            f'"amount":{chance.randint(1, 100)},"currency":"EUR"}}'
        )
        return (
            f"PUT /v1/transfers/{run}-0000-7000-8000-{number:012x}{query} HTTP/1.1\r\n"
            f"Host: localhost\r\n{bearer}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    return request


@dataclass
class _Run:
    host: str
    port: int
    rate: float
    seconds: float
    request: MakeRequest
    trust: ssl.SSLContext | None
    waiting: asyncio.Queue[tuple[int, float] | None] = field(
        default_factory=asyncio.Queue
    )
    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0

    async def all(self, connections: int) -> Answers:
        """Ask, and wait until each is answered or given up."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(connections):
                tasks.create_task(self._connection())
            for number in range(int(self.rate * self.seconds)):
                due = began + number / self.rate
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                self.waiting.put_nowait((number, due))
            for _ in range(connections):
                self.waiting.put_nowait(None)
        p50, p99, most = np.percentile(self.milliseconds, [50, 99, 100]).round(1)
        return Answers(
            requests=len(self.milliseconds),
            seconds=round(loop.time() - began, 3),
            p50_ms=float(p50),
            p99_ms=float(p99),
            max_ms=float(most),
            refused=self.refused,
            broken=self.broken,
        )

    async def _connection(self) -> None:
        """Whatever is due next, one after the other."""
        loop = asyncio.get_running_loop()
        wire: _Wire | None = None
        while (next_one := await self.waiting.get()) is not None:
            number, due = next_one
            try:
                async with asyncio.timeout_at(due + GIVEN_UP_SECONDS):
                    wire = wire or await _Wire.open(self.host, self.port, self.trust)
                    status = await wire.ask(self.request(number))
                self.refused += status >= 400
            except _TROUBLE:
                self.broken += 1
                if wire is not None:
                    wire.close()
                wire = None
            self.milliseconds.append((loop.time() - due) * 1000)
        if wire is not None:
            wire.close()


class _Wire:
    """One connection: just enough of HTTP/1.1 to cost the Store's processor little."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int, trust: ssl.SSLContext | None) -> _Wire:
        name = "store" if trust else None
        return cls(
            *await asyncio.open_connection(host, port, ssl=trust, server_hostname=name)
        )

    async def ask(self, request: bytes) -> int:
        """The status of the answer. Raises one of _TROUBLE."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        _, found, length = head.partition(b"\r\ncontent-length:")
        if not found:
            raise ValueError("an answer without a length")
        await self._reader.readexactly(int(length.partition(b"\r\n")[0]))
        return int(head.split(maxsplit=2)[1])

    def close(self) -> None:
        with suppress(RuntimeError):  # closed by the other side
            self._writer.close()
