"""The paths under /v1/transfers."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from producers.store.api.batch import Batch
from producers.store.api.clients import READ, WRITE, Client
from producers.store.api.entrance import (
    FOUND,
    PROBLEMS,
    Entrance,
    Wait,
    Within,
    check_media_type,
    text_of,
)
from producers.store.api.models import (
    BatchAnswer,
    TransferStatus,
    invalid,
    parse_line,
    status_json,
)
from producers.store.api.places import Places
from producers.store.api.problem_response import mistake
from producers.store.api.streaming import EventsResponse, LinesResponse
from producers.store.ids import NewTransferId, TransferId, uuid7, uuid8
from producers.store.problems import FieldError, Kind, Problem
from producers.store.settings import ServeSettings
from producers.store.states import Status
from producers.store.transfers import ClientLine, Transfer, now_ms

TRANSFER_PATH = "/transfers/{transfer_id}"
HEARTBEAT_SECONDS = 15.0
BATCHES_MAX = 8  # of one client at once: each may keep some answers
BATCH_CLIENTS = 4  # that may have as many beside each other

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)
]
SENT = {
    200: {"model": TransferStatus, "description": "final: see the state"},
    202: {"model": TransferStatus, "description": "it will be decided: not paid yet"},
    **PROBLEMS,
}


def _body(required: tuple[str, ...], media_type: str = "application/json") -> Any:
    schema = ClientLine.model_json_schema()
    schema["required"] = list(required)
    content = {media_type: {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PAYMENT = ("debit_account", "credit_account", "amount", "currency")


class TransferRoutes:
    """Handlers, with what they need."""

    def __init__(self, entrance: Entrance, settings: ServeSettings) -> None:
        self._entrance = entrance
        self._desk = entrance.desk
        self._settings = settings
        self._random = np.random.default_rng()
        clients = 1 if settings.demo else BATCH_CLIENTS
        self._batches = Places("batches", clients * BATCHES_MAX, 1 / clients)

    def router(self) -> APIRouter:
        """The paths, for an application to include."""
        router = APIRouter(prefix="/v1", tags=["transfers"])
        add = router.add_api_route
        add(
            TRANSFER_PATH,
            self.put,
            methods=["PUT"],
            response_model=TransferStatus,
            responses=SENT,
            status_code=202,
            summary="Send a transfer under an id of yours",
            openapi_extra=_body(_PAYMENT),
        )
        add(
            "/transfers",
            self.post,
            methods=["POST"],
            response_model=TransferStatus,
            responses=SENT,
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
                **PROBLEMS,
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
            responses=FOUND,
            summary="How far a transfer of yours is",
        )
        add(
            "/transfers/{transfer_id}/events",
            self.events,
            methods=["GET"],
            response_class=StreamingResponse,  # for the document: not JSON
            status_code=200,
            responses=FOUND,
            summary="Its life as it happens, as server-sent events",
        )
        return router

    async def put(
        self,
        request: Request,
        transfer_id: NewTransferId,
        wait: Wait = 0.0,
        within: Within = None,
    ) -> Response:
        """Idempotent: the same id again gives its status and has no second effect."""
        client = await self._entrance.client(request, WRITE)
        return await self._take(request, client, transfer_id, wait=wait, within=within)

    async def post(
        self,
        request: Request,
        wait: Wait = 0.0,
        within: Within = None,
        key: IdempotencyKey = None,
    ) -> Response:
        """With an Idempotency-Key the same key gives the same id: safe to repeat.

        Without one, the id is in every answer: repeat it as a PUT under that id.
        """
        client = await self._entrance.client(request, WRITE)
        if key is None:
            transfer_id = uuid7(now_ms(), self._random)
        else:
            transfer_id = id_of_key(client.name, bare(key))
        try:
            return await self._take(
                request, client, transfer_id, wait=wait, within=within
            )
        except Problem as problem:
            if key is None or problem.kind is not Kind.ID_TAKEN:
                raise
            detail = "Another payment needs another Idempotency-Key."
            reused = Problem(Kind.KEY_REUSED, detail)
            raise reused.about(transfer_id) from None

    async def batch(self, request: Request, within: Within = None) -> Response:
        """A wrong line is answered with its problem and does not stop the others.

        Read the answers while you send: the body is not read on when many wait.
        """
        client = await self._entrance.client(request, WRITE)
        check_media_type(request, "application/x-ndjson")
        request.scope["held"].take(self._batches, client.name)
        within_seconds = self._entrance.within(within)
        batch = Batch(
            self._desk, self._entrance.rates, client, within_seconds=within_seconds
        )
        return LinesResponse(batch.answers(request.stream()))

    async def get(self, request: Request, transfer_id: TransferId) -> Response:
        """Of the last day (a setting); what is older is in the ledger only."""
        client = await self._entrance.client(request, READ)
        status = self._desk.status(client.name, transfer_id)
        return _respond(200, transfer_id, status)

    async def events(self, request: Request, transfer_id: TransferId) -> Response:
        """Event `state` at once and on every change; ends with the final one."""
        client = await self._entrance.client(request, READ)
        self._desk.status(client.name, transfer_id)  # raises before the stream starts
        request.scope["held"].change(self._entrance.waiting, client.name)
        return EventsResponse(self._events(client.name, transfer_id))

    async def _take(
        self,
        request: Request,
        client: Client,
        transfer_id: UUID,
        *,
        wait: float,
        within: float | None,
    ) -> Response:
        """Whatever goes wrong, the answer names the id of the transfer to be sent."""
        try:
            body = await text_of(request, "application/json")
            transfer = parse_line(body, transfer_id)
            return await self._send(request, client, transfer, wait=wait, within=within)
        except Problem as problem:
            raise problem.about(transfer_id) from None
        except ClientDisconnect:
            raise
        except Exception as error:
            raise mistake(request.url.path, error).about(transfer_id) from None

    async def _send(
        self,
        request: Request,
        client: Client,
        transfer: Transfer,
        *,
        wait: float,
        within: float | None,
    ) -> Response:
        client.require_account(transfer.debit_account)
        entrance, id_ = self._entrance, transfer.transfer_id
        entrance.rates.take(client.name)
        status = await self._desk.send(client.name, transfer, entrance.within(within))
        status = await entrance.settled(request, client, id_, status, wait)
        return _respond(200 if status.final else 202, id_, status)

    async def _events(self, client: str, transfer_id: UUID) -> AsyncGenerator[bytes]:
        longest = self._settings.events_seconds_max
        clock = asyncio.get_running_loop().time
        end = clock() + longest
        quiet = min(HEARTBEAT_SECONDS, longest)
        async with aclosing(self._desk.pulse(client, transfer_id, quiet)) as pulse:
            async for status in pulse:
                if status is not None:
                    data = status_json(transfer_id, status)
                    yield f"event: state\ndata: {data}\n\n".encode()
                if clock() >= end:
                    return  # in order: clients ask again
                if status is None:
                    yield b": still here\n\n"


def bare(key: str) -> str:
    """An Idempotency-Key without its quotes: it is the same with and without.

    In the IETF's draft it is a string of structured fields (RFC 9651, 3.3.3). Raises
    Problem when it only half is.
    """
    quoted = _QUOTED.fullmatch(key)
    if quoted is not None:
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif '"' in key:
        detail = "must be a string in quotes, or have none"
        raise invalid([FieldError("Idempotency-Key", detail)])
    if not key:
        raise invalid([FieldError("Idempotency-Key", "must not be empty")])
    return key


def id_of_key(client: str, key: str) -> UUID:
    """The transfer_id of a client's Idempotency-Key (a UUID of version 8).

    Nobody can send a transfer under such an id but by the key (ids.py).
    """
    content = f"{client}\0{key}".encode()
    return uuid8(hashlib.blake2b(content, digest_size=16).digest())


def _respond(code: int, transfer_id: UUID, status: Status) -> Response:
    headers = {"Location": f"/v1/transfers/{transfer_id}"} if code == 202 else None
    body = status_json(transfer_id, status) + "\n"  # a terminal shows it as a line
    return Response(body, code, headers, media_type="application/json")
