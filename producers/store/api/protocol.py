"""uvicorn's HTTP protocol, which trusts its clients, with limits on what they send.

uvicorn has no limit on the size of headers with httptools, and no clock while a request
is on its way: a client that sends a byte a second holds its connection for ever. No
middleware can help, it runs when the headers are complete. And it closes while the
client is still sending, so that the kernel takes the answer back with a reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_OVERHEAD_BYTES = 4  # ": " and the end of the line


class GuardedProtocol(HttpToolsProtocol):
    """Ends a connection whose headers are too large or too slow.

    Subclass it with limits of your own, or use `guarded`.
    """

    header_bytes_max = 16_384
    header_seconds_max = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Since the parser last had something whole: headers, a piece of body, a request
        self._unparsed_bytes = 0
        self._in_body = False
        self._deaf = False  # what comes is no longer looked at
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        closing: Any = _Closing(transport, self._close)
        super().connection_made(closing)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        super().connection_lost(exc)
        self.transport.close()  # it no longer refers to this
        self._stop_clock()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._clock is None and not self._in_body:
            self._start_clock()
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to change to: it is answered like any other
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")  # unlike uvicorn's, it is no log line
        if self._unparsed_bytes > self.header_bytes_max:  # trailers count too
            self._refuse(b"431 Request Header Fields Too Large")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # a trailer is no header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_clock()
        size = len(self.url) + sum(
            len(name) + len(value) + HEADER_OVERHEAD_BYTES
            for name, value in self.headers
        )
        if size > self.header_bytes_max:
            self._refuse(b"431 Request Header Fields Too Large")
            raise ValueError("refused")  # stops the parser
        super().on_headers_complete()
        self._unparsed_bytes, self._in_body = 0, True

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes, self._in_body = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self._deaf:
            # Nobody waits for the rest of this body, nor for what comes after it.
            self._start_clock()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(
            self.header_seconds_max, self._refuse, b"408 Request Timeout"
        )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: bytes) -> None:
        """Answer what no application can, after all other answers, and close."""
        if self._deaf:
            return
        self._deaf = True
        self._stop_clock()
        cycle, answered = self.cycle, self._in_body
        if cycle is not None and not cycle.response_complete:
            if not self._in_body or cycle.response_started or self.pipeline:
                # It would be taken for the answer to what the client sent before.
                cycle.keep_alive = False
                return
            answered = False
            cycle.disconnected = True
            cycle.message_event.set()
        if not answered:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
        self.transport.close()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close, but hear out a client that is still sending, for a while.

        With bytes unread the kernel would reset the connection, and the client might
        never see its answer.
        """
        self._stop_clock()
        sending = self._deaf or self._in_body or self._unparsed_bytes
        if not sending or transport.is_closing():
            transport.close()
            return
        self._deaf = True
        self.flow.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._clock = self.loop.call_later(self.header_seconds_max, transport.close)


class _Closing:
    """A transport whose first `close` is somebody else's."""

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]
    ) -> None:
        self.write = transport.write
        self._transport = transport
        self._close: Callable[[asyncio.Transport], None] | None = close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._close is None or self._transport.is_closing()

    def close(self) -> None:
        close, self._close = self._close, None
        if close is None:
            self._transport.close()
        else:
            close(self._transport)


def guarded(header_bytes_max: int, header_seconds_max: float) -> type[GuardedProtocol]:
    """The protocol with these limits."""
    limits = {
        "header_bytes_max": header_bytes_max,
        "header_seconds_max": header_seconds_max,
    }
    return type("Guarded", (GuardedProtocol,), limits)
