"""What one client may take: so many transfers, so many bytes, so much time.

`Guard` is the outermost layer of the application: it counts requests, measures bodies
as they come, and turns what is over a limit into a problem.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.store.api.places import Held, Places
from producers.store.api.problem_response import mistake, respond
from producers.store.api.visitors import foreign
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings

API = "/v1/"
BATCH_PATH = "/v1/transfers:batch"
EVENTS = "/events"
CLIENTS_REMEMBERED_MAX = 10_000
ROUNDING_SECONDS = 1e-6
PAGES_MAX = 64  # at once: what nobody needs a token for
# A client that sends a batch sends it; waiting for us does not count.
BATCH_BYTES_PER_SECOND_MIN = 1_024


class RateLimit:
    """So many transfers a second per client, and at most a second's worth at once.

    Kept as the time when a client's bucket is empty again (GCRA): one number each. The
    library for this started a hundred threads a second.
    """

    def __init__(
        self, per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.transfers_max = per_second  # more at once never pass
        self._each_seconds = 1.0 / per_second
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, transfers: int = 1) -> None:
        """Book so many transfers. Raises Problem when they are too many."""
        now = self._clock()
        empty_at = max(now, self._empty_at.get(client, now))
        empty_at += transfers * self._each_seconds
        wait = empty_at - now - 1.0
        if wait > ROUNDING_SECONDS:
            detail = f"At most {self.transfers_max} transfers a second."
            raise Problem(Kind.TOO_MANY, detail, max(1, math.ceil(wait)))
        self._empty_at[client] = empty_at
        self._empty_at.move_to_end(client)
        if len(self._empty_at) > CLIENTS_REMEMBERED_MAX:
            self._empty_at.popitem(last=False)  # who has been away the longest


class Guard:
    """ASGI middleware: bounds requests at once, body sizes and silences."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        observe: Callable[[str, str, int, float], None],
    ) -> None:
        """`observe` gets method, route, status and seconds of each request."""
        self.app = app
        self._settings = settings
        self._observe = observe
        # Pages and documents have places of their own: whoever reads them slowly takes
        # none from those who pay.
        self._requests = Places("requests", settings.requests_max)
        self._pages = Places("pages", PAGES_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Whatever happens, it has an answer, and nothing is raised."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        held = scope["held"] = Held()
        try:
            await self._answer(scope, self._measured(scope, receive), observed)
        except ClientDisconnect:
            pass
        except Exception as error:
            if not status:  # else it has been answered and logged
                problem = mistake(scope["path"], error)
                await respond(problem)(scope, receive, observed)
        finally:
            held.give_back()
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self._observe(scope["method"], route, status, seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        path = scope["path"]
        places = self._requests if path.startswith(API) else self._pages
        try:
            # Given back early by those who only wait (routes.py).
            scope["held"].take(places, "")
            _refuse_repeated(scope["query_string"])
            if self._settings.demo:
                foreign(scope["headers"])
            if scope["http_version"] == "1.0" and path.endswith((EVENTS, BATCH_PATH)):
                raise Problem(Kind.OLD_HTTP, "A stream of answers needs HTTP/1.1.")
        except Problem as problem:
            app = respond(problem)
        if scope["method"] == "HEAD" and not path.endswith(EVENTS):
            scope = {**scope, "method": "GET"}  # uvicorn leaves its body out
        await app(scope, receive, send)

    def _measured(self, scope: Scope, receive: Receive) -> Receive:
        settings = self._settings
        if scope["path"] == BATCH_PATH:
            most, per_second = settings.batch_bytes_max, BATCH_BYTES_PER_SECOND_MIN
        else:
            most, per_second = settings.body_bytes_max, settings.body_bytes_max
        return measured(
            receive,
            most,
            seconds=settings.receive_seconds_max,
            per_second=per_second,
        )


def _refuse_repeated(query: bytes) -> None:
    """Raises Problem when a parameter is there twice: which one counts?"""
    if b"&" in query:
        names = [pair.partition(b"=")[0] for pair in query.split(b"&")]
        if len(set(names)) < len(names):
            detail = "A parameter of the query is there more than once."
            raise Problem(Kind.INVALID_REQUEST, detail)


def measured(
    receive: Receive, most: int, *, seconds: float, per_second: int
) -> Receive:
    """A body of so many bytes: no silence is longer than `seconds`, and neither is what
    it lags behind a rate. Waiting for us does not count.

    What it asks for raises Problem when the body is too large or too late.
    """
    size, complete, waited = 0, False, 0.0
    clock = asyncio.get_running_loop().time

    async def measuring() -> Message:
        nonlocal size, complete, waited
        if complete:
            return await receive()  # waits for the client to leave
        patience = min(seconds, seconds + size / per_second - waited)
        began = clock()
        try:
            async with asyncio.timeout(max(0.0, patience)):
                message = await receive()
        except TimeoutError:
            detail = f"The body was not there after {seconds:g} s."
            raise Problem(Kind.TIMEOUT, detail) from None
        waited += clock() - began
        size += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if size > most:
            raise Problem(Kind.TOO_LARGE, f"At most {most} bytes.")
        return message

    return measuring
