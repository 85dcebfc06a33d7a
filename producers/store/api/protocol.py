"""uvicorn's HTTP protocol, which trusts its clients, with a bound on all they can hold.

Every state of a connection has a deadline: its handshake (server.py), its head, its
body (limits.py), its answer, its silence. What was sent behind a request is not parsed
before that one is answered, and little of it is read. And a connection that ends is
heard out for a while, or the kernel takes the answer back with a reset.
It rests on uvicorn's inside, of one minor version: tests/unit/test_uvicorn.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl

from producers.store.api.connections import Connections
from producers.store.api.framing import Cutter, examined
from producers.store.api.headers import completed
from producers.store.api.problem_response import as_bytes
from producers.store.api.untaken import Untaken
from producers.store.problems import Kind, Problem

HEADERS_MAX = 200
READ_BYTES_MAX = 16_384  # at once, and so what is kept behind a request
BODY_BYTES_MAX = 262_144  # at once, as the loop would read: nothing of a body is kept
LINGERS_MAX = 3  # times so long that nothing may come
CHUNK_OVERHEAD = 8  # bytes of framing for each byte of a body


@dataclass(slots=True, kw_only=True)
class Limits:
    """What one connection may take, and all of them together."""

    header_bytes_max: int
    seconds_max: float
    connections: Connections
    buffer: bytearray = field(default_factory=lambda: bytearray(BODY_BYTES_MAX))


class _Refused(Exception):
    """Stops the parser: the head was answered, or must be parsed again."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    limits: Limits
    _untaken: Untaken  # from when it is connected

    def __init__(self, *arguments: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limits = limits
        self._cutter = Cutter()
        self.unread = b""  # what came behind a request that is not answered yet
        self._again = b""  # a head to be parsed once more
        self._framing_bytes = 0  # of the head, or around the pieces of a body
        self.in_body = False
        self.answering = False  # a whole request is not answered yet
        self._deaf = False  # what comes is no longer looked at
        self._heard = False  # that something came nevertheless
        self._clock: asyncio.TimerHandle | None = None

    # -- the connection ---------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._raw = transport
        self._untaken = Untaken(self.loop, transport, self.limits.seconds_max)
        closing: Any = _Closing(transport, self._close)
        super().connection_made(closing)
        self.flow = _Flow(closing, lambda: bool(self.unread))
        if self.limits.connections.admit(self, transport.abort):
            self._start_clock()
            return
        self._deaf = True
        busy = Problem(Kind.BUSY, "Too many connections are open here.", 1)
        # Not by way of `closing`: it waits, for a body here, for the client there.
        transport.write(completed(as_bytes(busy), self.scheme == "https"))
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf, self.unread = True, b""
        self.limits.connections.gone(self)
        super().connection_lost(exc)
        self.transport.close()  # it no longer refers to this
        self._stop_clock()
        self._untaken.stop()
        self._unset_keepalive_if_required()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._deaf:
            self._untaken.stop()

    # -- what comes -------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._heard = True
            return
        self._unset_keepalive_if_required()
        self.limits.connections.busy(self)
        self.unread = self.unread + data if self.unread else data
        self._parse()
        if self._clock is None and self._framing_bytes and not self.in_body:
            self._start_clock()  # of a head that is not there as a whole
        if self.unread and not self._deaf:
            self.flow.pause_reading()

    def _parse(self) -> None:
        """Up to the end of one request; what is behind it waits for its answer."""
        data, at = self.unread, 0
        while at < len(data) and not self.answering and not self._deaf:
            end = self._cutter.cut(data, at)
            self._framing_bytes += end - at
            self._feed(data[at:end])
            at = end
            if self._again:
                data, at, self._again = self._again + data[at:], 0, b""
            if self._framing_bytes > self.limits.header_bytes_max:
                self._refuse(_too_large())
        self.unread = b"" if self._deaf else data[at:]

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # of a method that is refused, too
            self._refuse(Problem(Kind.BAD_REQUEST, "There is nothing to change to."))
        except httptools.HttpParserError as error:
            if not isinstance(error.__context__, _Refused):
                detail = "It could be understood in several ways, or in none."
                self._refuse(Problem(Kind.BAD_REQUEST, detail))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_body:  # a trailer is no header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._ignore_upgrade()
            raise _Refused
        self._stop_clock()
        method, version = self.parser.get_method(), self._version()
        problem, length = examined(method, version, self.headers)
        if (
            self._framing_bytes > self.limits.header_bytes_max
            or len(self.headers) > HEADERS_MAX
        ):
            problem = _too_large()
        if problem is not None:
            self._refuse(problem)
            raise _Refused
        super().on_headers_complete()
        self._cutter.body(length)
        self._framing_bytes, self.in_body = 0, True

    def on_body(self, body: bytes) -> None:
        allowed = (1 + CHUNK_OVERHEAD) * len(body)
        self._framing_bytes = max(0, self._framing_bytes - allowed)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._framing_bytes, self.in_body = 0, False
        self._cutter.head()
        self.answering = self.cycle is not None and not self.cycle.response_complete
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.answering = False
        if self._deaf or self.transport.is_closing():
            return
        if self.in_body:
            # Nobody waits for the rest of this body, nor for what comes after it.
            self._start_clock()
        elif self.unread:
            self.loop.call_soon(self._go_on)
        else:
            self.limits.connections.idle(self, self._raw.abort)

    def _go_on(self) -> None:
        """The request that was sent behind the one that is answered now."""
        if not self._deaf:
            unread, self.unread = self.unread, b""
            self.data_received(unread)
            self.flow.resume_reading()

    def _ignore_upgrade(self) -> None:
        """Parse the head again without Upgrade, which a server may ignore (RFC 9110,
        7.8). llhttp takes what is behind it for another protocol, so for no body."""
        method, url = self.parser.get_method(), self.url
        lines = [b"%s %s HTTP/%s" % (method, url, self._version().encode())]
        lines += [b"%s: %s" % h for h in self.headers if h[0] != b"upgrade"]
        head = b"\r\n".join((*lines, b"", b""))
        self.parser = httptools.HttpRequestParser(self)
        self._again = head
        self._cutter.head()
        self._framing_bytes = 0

    def _version(self) -> str:
        version: str = self.parser.get_http_version()
        return version

    # -- deadlines and ends -----------------------------------------------------------

    def _start_clock(self) -> None:
        self._stop_clock()
        late = Problem(Kind.TIMEOUT, "The head of a request was not there in time.")
        self._clock = self.loop.call_later(self.limits.seconds_max, self._refuse, late)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, problem: Problem) -> None:
        """Answer what no application can, after all other answers, and close."""
        if self._deaf:
            return
        self._deaf, self.unread = True, b""
        self._stop_clock()
        cycle, answered = self.cycle, self.in_body
        if cycle is not None and not cycle.response_complete:
            if not self.in_body or cycle.response_started:
                # It would be taken for the answer to what the client sent before.
                cycle.keep_alive = False
                return
            answered = False
            cycle.disconnected = True
            cycle.message_event.set()
        if not answered:
            self.transport.write(as_bytes(problem))
        self.transport.close()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close, but hear out a client that is still sending, for a while.

        With bytes unread the kernel would reset the connection, and the client might
        never see its answer.
        """
        self._stop_clock()
        self.limits.connections.busy(self)
        self._untaken.watch()
        sending = self._deaf or self.in_body or self._framing_bytes or bool(self.unread)
        if not sending or transport.is_closing():
            transport.close()
            return
        self._deaf, self.unread = True, b""
        self.flow.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._linger(transport, LINGERS_MAX)

    def _linger(self, transport: asyncio.Transport, left: int) -> None:
        """Listen on while something comes, but not for ever."""

        def look() -> None:
            if self._heard and left > 1:
                self._linger(transport, left - 1)
            else:
                transport.close()

        self._heard = False
        self._clock = self.loop.call_later(self.limits.seconds_max, look)


def _too_large() -> Problem:
    return Problem(Kind.HEADERS_TOO_LARGE, "Send fewer or shorter headers.")


class _Flow(FlowControl):
    """Reads on only when nothing waits to be parsed."""

    def __init__(self, transport: Any, waits: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._waits = waits

    def resume_reading(self) -> None:
        if self.read_paused and not self._waits():
            super().resume_reading()


class _Closing:
    """A transport whose first `close` is somebody else's, and that may be gone."""

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]
    ) -> None:
        self._transport = transport
        self._write = transport.write
        self._close: Callable[[asyncio.Transport], None] | None = close
        self._secure = is_ssl(transport)
        self._head = b""
        self._soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """A head waits for its body: together they are one packet and one call."""
        if self._head:
            data, self._head = completed(self._head + data, self._secure), b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._soon(self._flush)
            return
        try:
            self._write(data)
        except RuntimeError:  # uvloop's, when the client has just reset the connection
            pass

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        return self._close is None or self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        close, self._close = self._close, None
        if close is None:
            self._transport.close()
        else:
            close(self._transport)


class Measured(asyncio.BufferedProtocol):
    """Hands a connection what comes in small pieces, whatever the loop would read."""

    def __init__(self, inner: GuardedProtocol, arrived: Callable[[], None]) -> None:
        """`arrived()` is called when the connection is there, after its TLS."""
        self._inner = inner
        self._arrived = arrived
        # One for all connections: each uses it up before the loop reads for another.
        self._long = memoryview(inner.limits.buffer)
        self._short = self._long[:READ_BYTES_MAX]

    def connection_made(self, transport: Any) -> None:
        self._arrived()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._long if self._inner.in_body else self._short

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.data_received(bytes(self._long[:nbytes]))

    def eof_received(self) -> None:
        self._inner.eof_received()


def guarded(limits: Limits) -> Callable[..., Measured]:
    """What makes the protocol of a connection, as uvicorn asks for it."""

    def make(arrived: Callable[[], None] = lambda: None, **named: Any) -> Measured:
        return Measured(GuardedProtocol(limits=limits, **named), arrived)

    return make
