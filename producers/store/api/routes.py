"""The paths under /v1/transfers."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from producers.store.api.auth import READ, WRITE, Client, Doorman
from producers.store.api.batch import Batch
from producers.store.api.limits import RateLimit
from producers.store.api.lines import LinesResponse
from producers.store.api.models import (
    BatchAnswer,
    ProblemDetails,
    TransferStatus,
    parse_line,
    status_json,
)
from producers.store.desk import Desk
from producers.store.ids import uuid7s, uuid8
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings
from producers.store.states import Status
from producers.store.transfers import TransferLine, now_ms

TRANSFER_PATH = "/transfers/{transfer_id}"
HEARTBEAT_SECONDS = 15.0
BATCHES_MAX = 8  # at once: each may keep a body's worth of answers

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
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)
]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemDetails, "description": "problem details"}
    for code in (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)
}
_SENT = {
    200: {"model": TransferStatus, "description": "final: the Bank has spoken"},
    202: {"model": TransferStatus, "description": "promised: exactly once, soon"},
    **_PROBLEMS,
}
_FOUND = {**_PROBLEMS, 404: {"model": ProblemDetails, "description": "not yours"}}


def _body(required: tuple[str, ...], media_type: str = "application/json") -> Any:
    schema = TransferLine.model_json_schema()
    schema["required"] = list(required)
    content = {media_type: {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


_PAYMENT = ("debit_account", "credit_account", "amount", "currency")


class TransferRoutes:
    """Handlers, with what they need."""

    def __init__(
        self, desk: Desk, doorman: Doorman, rates: RateLimit, settings: ServeSettings
    ) -> None:
        self._desk = desk
        self._doorman = doorman
        self._rates = rates
        self._settings = settings
        self._random = np.random.default_rng()
        self._batches = 0

    def router(self) -> APIRouter:
        """The paths, for an application to include."""
        router = APIRouter(prefix="/v1", tags=["transfers"])
        add = router.add_api_route
        add(
            TRANSFER_PATH,
            self.put,
            methods=["PUT"],
            response_model=TransferStatus,
            responses=_SENT,
            status_code=202,
            summary="Send a transfer under an id of yours",
            openapi_extra=_body(_PAYMENT),
        )
        add(
            "/transfers",
            self.post,
            methods=["POST"],
            response_model=TransferStatus,
            responses=_SENT,
            status_code=202,
            summary="Send a transfer; the id is made here, or from your key",
            openapi_extra=_body(_PAYMENT),
        )
        add(
            "/transfers:batch",
            self.batch,
            methods=["POST"],
            response_class=LinesResponse,
            status_code=200,
            responses={
                **_PROBLEMS,
                200: {
                    "description": "a line of answer for each line",
                    "content": {
                        "application/x-ndjson": {
                            "schema": BatchAnswer.model_json_schema(
                                ref_template="#/components/schemas/{model}"
                            )
                        }
                    },
                },
            },
            summary="Send many transfers, one JSON object a line",
            openapi_extra=_body(("transfer_id", *_PAYMENT), "application/x-ndjson"),
        )
        add(
            TRANSFER_PATH,
            self.get,
            methods=["GET"],
            response_model=TransferStatus,
            responses=_FOUND,
            summary="How far a transfer of yours is",
        )
        add(
            "/transfers/{transfer_id}/events",
            self.events,
            methods=["GET"],
            response_class=StreamingResponse,
            status_code=200,
            responses=_FOUND,
            summary="Its life as it happens, as server-sent events",
        )
        return router

    async def put(
        self,
        request: Request,
        transfer_id: UUID,
        wait: Wait = 0.0,
        within: Within = None,
    ) -> Response:
        """Idempotent: the same id again gives its status and has no second effect."""
        client = await self._client(request, WRITE)
        line = parse_line(await _json(request), transfer_id)
        return await self._send(client, line, wait, within)

    async def post(
        self,
        request: Request,
        wait: Wait = 0.0,
        within: Within = None,
        key: IdempotencyKey = None,
    ) -> Response:
        """With an Idempotency-Key the same key gives the same id: safe to repeat."""
        client = await self._client(request, WRITE)
        body = await _json(request)
        if key is None:
            (new,) = uuid7s(1, now_ms(), self._random)
            return await self._send(
                client, parse_line(body, UUID(bytes=new)), wait, within
            )
        line = parse_line(body, id_of_key(client.name, key))
        try:
            return await self._send(client, line, wait, within)
        except Problem as problem:
            if problem.kind is not Kind.ID_TAKEN:
                raise
            detail = "Another payment needs another Idempotency-Key."
            raise Problem(Kind.KEY_REUSED, detail) from None

    async def batch(self, request: Request, within: Within = None) -> Response:
        """A wrong line is answered with its problem and does not stop the others."""
        client = await self._client(request, WRITE)
        _check_media_type(request, "application/x-ndjson")
        if self._batches >= BATCHES_MAX:
            raise Problem(Kind.BUSY, f"{BATCHES_MAX} batches are being read.", 1)
        batch = Batch(self._desk, self._rates, client, self._within(within))
        return LinesResponse(self._counted(batch.answers(request.stream())))

    async def get(self, request: Request, transfer_id: UUID) -> Response:
        """Of the last day (a setting); what is older is in the ledger only."""
        client = await self._client(request, READ)
        status = self._desk.status(client.name, transfer_id)
        return _respond(200, transfer_id, status)

    async def events(self, request: Request, transfer_id: UUID) -> Response:
        """Event `state` at once and on every change; ends with the final one."""
        client = await self._client(request, READ)
        self._desk.status(client.name, transfer_id)  # raises before the stream starts
        return StreamingResponse(
            self._stream(client.name, transfer_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _client(self, request: Request, scope: str) -> Client:
        client = await self._doorman(request.headers.get("authorization", ""))
        client.require(scope)
        return client

    async def _send(
        self, client: Client, line: TransferLine, wait: float, within: float | None
    ) -> Response:
        self._rates.take(client.name)
        status = await self._desk.send(client.name, line, self._within(within))
        if wait and not status.final:
            longest = min(wait, self._settings.wait_seconds_max)
            status = await self._desk.final(client.name, line.transfer_id, longest)
        return _respond(200 if status.final else 202, line.transfer_id, status)

    def _within(self, asked: float | None) -> float:
        # A tenth is left for the answer's way back.
        return min(0.9 * (asked or math.inf), self._settings.answer_seconds_max)

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._batches += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._batches -= 1

    async def _stream(self, client: str, transfer_id: UUID) -> AsyncIterator[bytes]:
        end = asyncio.get_running_loop().time() + self._settings.events_seconds_max
        async with aclosing(self._desk.news(client, transfer_id)) as news:
            coming = asyncio.ensure_future(anext(news, None))
            while asyncio.get_running_loop().time() < end:
                done, _ = await asyncio.wait([coming], timeout=HEARTBEAT_SECONDS)
                if not done:
                    yield b": still here\n\n"
                    continue
                status = coming.result()
                if status is None:
                    return
                data = status_json(transfer_id, status)
                yield f"event: state\ndata: {data}\n\n".encode()
                coming = asyncio.ensure_future(anext(news, None))
            coming.cancel()


def id_of_key(client: str, key: str) -> UUID:
    """The transfer_id of a client's Idempotency-Key (a UUID of version 8)."""
    content = f"{client}\0{key}".encode()
    return uuid8(hashlib.blake2b(content, digest_size=16).digest())


async def _json(request: Request) -> bytes:
    _check_media_type(request, "application/json")
    return await request.body()


def _check_media_type(request: Request, wanted: str) -> None:
    found = request.headers.get("content-type", wanted).partition(";")[0].strip()
    if found.lower() != wanted:
        raise Problem(Kind.NOT_ACCEPTABLE, f"Content-Type must be {wanted}.")


def _respond(code: int, transfer_id: UUID, status: Status) -> Response:
    headers = {"Cache-Control": "no-store"}
    if code == 202:
        headers["Location"] = f"/v1/transfers/{transfer_id}"
    body = status_json(transfer_id, status)
    return Response(body, code, headers, media_type="application/json")
