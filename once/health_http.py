"""The few lines of HTTP that probes speak, which no stranger can use up.

One thread reads all connections; each has one deadline from its first byte to its last,
however its bytes drip. Of too many the oldest is ended: a probe that has just come is
answered. One request per connection, GET and HEAD; every answer is JSON or plain text.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from once import logs

REQUEST_SECONDS_MAX = 5.0  # to ask and to take the answer
LEAVING_SECONDS_MAX = 1.0  # to close after the answer
CONNECTIONS_MAX = 64
WAITING_MAX = 128  # connections that the kernel keeps until we get to them
HEAD_BYTES_MAX = 8192
ANSWERING_THREADS = 2  # a slow scrape does not hold up a readiness probe

log = logs.get(__name__)


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: HTTPStatus
    body: bytes
    content_type: str
    headers: tuple[str, ...] = ()

    @classmethod
    def of_json(cls, status: HTTPStatus, body: Mapping[str, Any], *more: str) -> Self:
        """`more` are headers."""
        return cls(status, json.dumps(body).encode() + b"\n", "application/json", more)

    def encoded(self, *, head: bool) -> bytes:
        """As it is sent; without its body for a HEAD request."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
            *self.headers,
        ]
        text = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return text if head else text + self.body


Pages = Mapping[str, Callable[[], Answer]]


class HttpThread:
    """Serves `pages` until `close()`; `at_once` names the one that never waits.

    Raises OSError with what to do when it cannot listen.
    """

    def __init__(self, pages: Pages, host: str, port: int, *, at_once: str) -> None:
        self._pages = pages
        self._at_once = at_once
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port. May be called twice."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(ANSWERING_THREADS, "health-answer") as pool:
            self._loop.set_default_executor(pool)
            try:
                self._loop.run_until_complete(self._serve())
            finally:
                self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connected,
            sock=self._socket,
            limit=HEAD_BYTES_MAX,
            backlog=WAITING_MAX,
        )
        await self._over.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open[writer] = None
        if len(self._open) > CONNECTIONS_MAX:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                await self._exchange(reader, writer)
            async with asyncio.timeout(LEAVING_SECONDS_MAX):
                # What is unread when a socket is closed takes the answer with it.
                while await reader.read(HEAD_BYTES_MAX):
                    pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            log.debug("a health request ended early")  # a probe that hung up, mostly
        except asyncio.CancelledError:
            pass  # we are closing; asyncio would write a traceback to stderr
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method = ""
        try:
            line, _, _ = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            method, target, version = line.decode("ascii").split(" ")
            if not version.startswith("HTTP/1."):
                raise ValueError(version)
            answer = await self._answer(method, target.partition("?")[0])
        except (ValueError, asyncio.LimitOverrunError):
            answer = _wrong(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
        writer.write(answer.encoded(head=method == "HEAD"))
        await writer.drain()
        writer.write_eof()

    async def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            what = "there is GET and HEAD here"
            return _wrong(HTTPStatus.METHOD_NOT_ALLOWED, what, "Allow: GET, HEAD")
        page = self._pages.get(path)
        if page is None:
            *first, last = self._pages
            what = f"there is {', '.join(first)} and {last} here"
            return _wrong(HTTPStatus.NOT_FOUND, what, word="absent")
        try:
            if path == self._at_once:
                return page()
            return await self._loop.run_in_executor(None, page)
        except Exception:
            log.exception("a health page failed", path=path)
            return _wrong(HTTPStatus.INTERNAL_SERVER_ERROR, "see this program's log")


def _wrong(
    status: HTTPStatus, message: str, *headers: str, word: str = "refused"
) -> Answer:
    return Answer.of_json(status, {"status": word, "message": message}, *headers)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(WAITING_MAX)
    except OSError as error:
        made.close()
        raise OSError(
            error.errno,
            f"cannot serve health and metrics on {host}:{port}"
            f" ({error.strerror}); choose another port, or 0 for a free one",
        ) from error
    return made
