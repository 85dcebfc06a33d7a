"""uvicorn's HTTP protocol, which trusts its clients, with limits on what they send.

uvicorn has no limit on the size of headers with httptools, and no clock while a request
is on its way: a client that sends a byte a second holds its connection for ever. No
middleware can help, it runs when the headers are complete.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class GuardedProtocol(HttpToolsProtocol):
    """Ends a connection whose headers are too large or too slow.

    Subclass it with limits of your own, or use `guarded`.
    """

    header_bytes_max = 16_384
    header_seconds_max = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_bytes = 0
        self._in_headers = True
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            if self._clock is None:
                self._start_clock()
            self._header_bytes += len(data)
            # What follows the headers in the same packet is body, and is limited there.
            if self._header_bytes > self.header_bytes_max and b"\r\n\r\n" not in data:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_clock()
        size = sum(len(name) + len(value) for name, value in self.headers)
        if size + len(self.url) > self.header_bytes_max:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._header_bytes, self._in_headers = 0, True

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(
            self.header_seconds_max, self._refuse, b"408 Request Timeout"
        )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: bytes) -> None:
        self._stop_clock()
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
            self.transport.close()


def guarded(header_bytes_max: int, header_seconds_max: float) -> type[GuardedProtocol]:
    """The protocol with these limits."""
    limits = {
        "header_bytes_max": header_bytes_max,
        "header_seconds_max": header_seconds_max,
    }
    return type("Guarded", (GuardedProtocol,), limits)
