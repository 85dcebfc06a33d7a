"""NDJSON in pieces: lines from a body as it comes, and a response as it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from producers.store.api.waiting import unless_gone

LINE_BYTES_MAX = 16_384

Line = tuple[int, bytes | None]  # number from 1; None: too long


async def read_lines(body: AsyncIterator[bytes]) -> AsyncGenerator[list[Line]]:
    """The lines of each piece of the body that are complete with it; none is empty.

    A line that is too long is passed over in constant memory.
    """
    number, rest, too_long = 0, b"", False
    async for piece in body:
        *complete, rest = (rest + piece).split(b"\n")
        lines: list[Line] = []
        for raw in complete:
            number += 1
            if too_long or len(raw) > LINE_BYTES_MAX:
                lines.append((number, None))
                too_long = False
            elif raw.strip():
                lines.append((number, raw))
        if len(rest) > LINE_BYTES_MAX:
            rest, too_long = b"", True
        if lines:
            yield lines
    if too_long:
        yield [(number + 1, None)]
    elif rest.strip():
        yield [(number + 1, rest)]


class Stream(Response):
    """Server-sent events, until they end or the client has gone."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await unless_gone(receive, self._stream(send))

    async def _stream(self, send: Any) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                body = {"body": piece, "more_body": True}
                await send({"type": "http.response.body", **body})
        await send({"type": "http.response.body", "body": b""})


class LinesResponse(Stream):
    """Sends pieces as they come, while the request's body may still be read.

    So nothing else may take the messages of the body, to notice a client that leaves.
    """

    media_type = "application/x-ndjson"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._stream(send)
