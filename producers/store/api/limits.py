"""What one client may take: so many transfers, so many bytes, so much time.

`Guard` is the outermost layer of the application: it counts requests, measures bodies
as they come and turns what is over a limit into a problem.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect

from producers.store.api.problem_response import respond
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings

BATCH_PATH = "/v1/transfers:batch"
CLIENTS_REMEMBERED_MAX = 10_000
ROUNDING_SECONDS = 1e-6


class RateLimit:
    """So many transfers a second per client, and at most a second's worth at once.

    Kept as the time when a client's bucket is empty again (GCRA): one number each. The
    library for this started a hundred threads a second.
    """

    def __init__(
        self, per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.transfers_max = per_second  # more at once never pass
        self._each_s = 1.0 / per_second
        self._clock = clock
        self._empty_at: dict[str, float] = {}

    def take(self, client: str, transfers: int = 1) -> None:
        """Book so many transfers. Raises Problem when they are too many."""
        now = self._clock()
        empty_at = max(now, self._empty_at.get(client, now))
        empty_at += transfers * self._each_s
        wait = empty_at - now - 1.0
        if wait > ROUNDING_SECONDS:
            detail = f"At most {self.transfers_max} transfers a second."
            raise Problem(Kind.TOO_MANY, detail, max(1, math.ceil(wait)))
        if len(self._empty_at) >= CLIENTS_REMEMBERED_MAX:
            late = {c: at for c, at in self._empty_at.items() if at > now}
            self._empty_at = late
        self._empty_at[client] = empty_at


class Guard:
    """ASGI middleware: bounds requests at once, body sizes and silences."""

    def __init__(
        self,
        app: Any,
        settings: ServeSettings,
        observe: Callable[[str, str, int, float], None],
    ) -> None:
        """`observe` gets method, route, status and seconds of each request."""
        self.app = app
        self._settings = settings
        self._observe = observe
        self._active = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        app = self.app
        if self._active >= self._settings.requests_max:
            app = respond(Problem(Kind.BUSY, "Try again in a moment.", 1))
        self._active += 1
        began, status = time.perf_counter(), 0

        async def observed(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await app(scope, self._measured(scope, receive), observed)
        except ClientDisconnect:
            pass
        except Exception:
            if not status:  # else it has been answered and logged
                raise
        finally:
            self._active -= 1
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self._observe(scope["method"], route, status, seconds)

    def _measured(self, scope: Any, receive: Any) -> Any:
        settings = self._settings
        batch = scope["path"] == BATCH_PATH
        most = settings.batch_bytes_max if batch else settings.body_bytes_max
        size, complete = 0, False
        seconds = settings.receive_seconds_max
        clock = asyncio.get_running_loop().time
        end = clock() + seconds

        async def measured() -> Any:
            nonlocal size, complete, end
            if complete:
                return await receive()  # waits for the client to leave
            if batch:
                end = clock() + seconds  # a long one may go on, but not fall silent
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                detail = f"The body was not there after {seconds:g} s."
                raise Problem(Kind.TIMEOUT, detail) from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > most:
                raise Problem(Kind.TOO_LARGE, f"At most {most} bytes.")
            return message

        return measured
