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

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import ClientDisconnect

from producers.store.api.problem_response import respond
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings

BATCH_PATH = "/v1/transfers:batch"


class RateLimit:
    """So many transfers a second (or minute, ...) per client."""

    def __init__(self, rate: str) -> None:
        """`rate` as in "1000/second". Raises ValueError."""
        self._rate = parse(rate)
        self.transfers_max: int = self._rate.amount  # more at once never pass
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, client: str, transfers: int = 1) -> None:
        """Book so many transfers. Raises Problem when they are too many."""
        if self._limiter.hit(self._rate, client, cost=transfers):
            return
        reset, _ = self._limiter.get_window_stats(self._rate, client)
        wait = max(1, math.ceil(reset - time.time()))
        detail = f"At most {self._rate}; wait {wait} s."
        raise Problem(Kind.TOO_MANY, detail, wait)


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

        async def measured() -> Any:
            nonlocal size, complete
            if complete:
                return await receive()  # waits for the client to leave
            try:
                async with asyncio.timeout(settings.receive_seconds_max):
                    message = await receive()
            except TimeoutError:
                detail = f"Nothing came for {settings.receive_seconds_max:g} s."
                raise Problem(Kind.TIMEOUT, detail) from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > most:
                raise Problem(Kind.TOO_LARGE, f"At most {most} bytes.")
            return message

        return measured
