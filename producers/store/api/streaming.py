"""Responses that are sent while they are made, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from producers.store.api.waiting import unless_gone


class EventsResponse(Response):
    """Server-sent events, until they end or the client has gone."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                body = {"body": piece, "more_body": True}
                await send({"type": "http.response.body", **body})
        await send({"type": "http.response.body", "body": b""})


class LinesResponse(EventsResponse):
    """Lines of NDJSON, sent while the body of the request may still be read.

    So nothing else may take the messages of the body, to notice a client that leaves.
    """

    media_type = "application/x-ndjson"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send(send)
