"""How a request is let in, how long it may take, and how it waits for a verdict."""

from __future__ import annotations

import math
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query, Request

from producers.store.api.auth import Doorman
from producers.store.api.clients import Client
from producers.store.api.limits import RateLimit
from producers.store.api.models import ProblemDetails
from producers.store.api.places import Places
from producers.store.api.waiting import unless_gone
from producers.store.desk import Desk
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings
from producers.store.states import Status

Wait = Annotated[
    float,
    Query(ge=0, allow_inf_nan=False, description="seconds to wait for the verdict"),
]
Within = Annotated[
    float | None,
    Header(
        alias="Request-Timeout",
        ge=1,  # a Kafka transaction takes its time
        allow_inf_nan=False,
        description="seconds that the client waits for an answer",
    ),
]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemDetails, "description": "problem details"}
    for code in (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)
}
FOUND = {
    **PROBLEMS,
    404: {"model": ProblemDetails, "description": "none of yours, or too old"},
}


class Entrance:
    """What all paths share: one doorman, one rate, one number of places."""

    def __init__(
        self, desk: Desk, doorman: Doorman, rates: RateLimit, settings: ServeSettings
    ) -> None:
        self.desk = desk
        self.rates = rates
        self._doorman = doorman
        self._settings = settings
        # Without tokens all are one client.
        share = 1.0 if settings.demo else settings.client_share
        self._requests = Places("requests", settings.requests_max, share)
        self.waiting = Places("waiting requests", settings.waiting_max, share)

    async def client(self, request: Request, scope: str) -> Client:
        """Who sends it, with a place for the request. Raises Problem."""
        client = await self._doorman(request.headers.get("authorization", ""))
        client.require(scope)
        request.scope["held"].take(self._requests, client.name)
        return client

    def within(self, asked: float | None) -> float:
        """For how many seconds an answer may be worked on."""
        # A tenth is left for the answer's way back.
        return min(0.9 * (asked or math.inf), self._settings.answer_seconds_max)

    async def settled(
        self, request: Request, client: Client, id_: UUID, status: Status, wait: float
    ) -> Status:
        """The final status, or the one there is after `wait` seconds.

        Who finds no place to wait in is answered at once.
        """
        if not wait or status.final or not self.waiting.has_room(client.name):
            return status
        request.scope["held"].change(self.waiting, client.name)
        longest = min(wait, self._settings.wait_seconds_max)
        final = self.desk.final(client.name, id_, longest)
        return await unless_gone(request.receive, final)


async def text_of(request: Request, *wanted: str) -> bytes:
    """The body, in one of these media types. Raises Problem."""
    body = await request.body()  # first, or its framing is not looked at
    check_media_type(request, *wanted)
    return body


def check_media_type(request: Request, *wanted: str) -> None:
    """Raises Problem when the body is of no such type."""
    media_type = request.headers.get("content-type", "none").partition(";")[0].strip()
    if media_type.lower() not in wanted:
        named = " or ".join(wanted)
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {named}.")
