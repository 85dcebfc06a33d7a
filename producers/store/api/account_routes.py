"""The paths under /v1/accounts: what an account may do is asked for here."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producers.store.account_changes import (
    CREDIT_LIMIT_MAX,
    AccountChange,
    AccountStatus,
    Reason,
)
from producers.store.api.clients import ACCOUNTS, Client
from producers.store.api.entrance import (
    FOUND,
    PROBLEMS,
    Entrance,
    Wait,
    Within,
    text_of,
)
from producers.store.api.models import FirstState, invalid, problem_of
from producers.store.clerk import Clerk
from producers.store.ids import NewTransferId, TransferId, uuid7
from producers.store.problems import FieldError, Kind, Problem
from producers.store.states import State, Status
from producers.store.transfers import INT64_MAX, field_names, now_ms

ACCOUNT_PATH = "/accounts/{account}"
CHANGE_PATH = "/account-changes/{change_id}"
MERGE_PATCH = "application/merge-patch+json"
_M = TypeVar("_M", bound=BaseModel)

Account = Annotated[int, Path(gt=0, le=INT64_MAX, description="account number")]
ChangeId = Annotated[
    NewTransferId | None,
    Field(description="yours, the same in a retry; else one is made here"),
]
Limit = Annotated[
    int, Field(ge=0, le=CREDIT_LIMIT_MAX, description="to overdraw, in minor units")
]


class _Asked(BaseModel):
    """What both kinds of bodies have."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    change_id: ChangeId = None
    reason: Reason = ""


class WholeAccount(_Asked):
    """An account as it is to be."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    credit_limit: Limit = 0
    status: AccountStatus = "open"


class AccountPatch(_Asked):
    """What is to be changed; the rest stays (RFC 7396)."""

    credit_limit: Limit | None = None
    status: AccountStatus | None = None


class ChangeStatus(BaseModel):
    """A change of an account, and how far it is."""

    model_config = ConfigDict(frozen=True)

    change_id: UUID
    state: Annotated[
        State,
        Field(
            description="committed may change; changed, declined, exists, conflict and "
            "quarantined are final"
        ),
    ]
    reason: Annotated[str | None, Field(description="why it was declined")] = None
    first_state: FirstState = None


def _body(model: type[BaseModel], media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


class AccountRoutes:
    """Handlers, with what they need."""

    def __init__(self, entrance: Entrance, clerk: Clerk) -> None:
        self._entrance = entrance
        self._clerk = clerk
        self._random = np.random.default_rng()

    def router(self) -> APIRouter:
        """The paths, for an application to include."""
        router = APIRouter(prefix="/v1", tags=["accounts"])
        sent = {
            **PROBLEMS,
            200: {"model": ChangeStatus, "description": "final: see the state"},
            202: {"model": ChangeStatus, "description": "it will be decided"},
        }
        router.add_api_route(
            ACCOUNT_PATH,
            self.put,
            methods=["PUT"],
            response_model=ChangeStatus,
            responses=sent,
            status_code=202,
            summary="Open an account, or make it as you say",
            openapi_extra=_body(WholeAccount, "application/json"),
        )
        router.add_api_route(
            ACCOUNT_PATH,
            self.patch,
            methods=["PATCH"],
            response_model=ChangeStatus,
            responses=sent,
            status_code=202,
            summary="Freeze, open again, close or limit an account",
            openapi_extra=_body(AccountPatch, MERGE_PATCH),
        )
        router.add_api_route(
            CHANGE_PATH,
            self.get,
            methods=["GET"],
            response_model=ChangeStatus,
            responses=FOUND,
            summary="What became of a change of yours",
        )
        return router

    async def put(
        self,
        request: Request,
        account: Account,
        wait: Wait = 0.0,
        within: Within = None,
        if_none_match: Annotated[
            str | None, Header(description="`*`: only if there is no such account")
        ] = None,
    ) -> Response:
        """Its currency is for ever. Closed is for good, and asks for a balance of 0."""
        if if_none_match not in (None, "*"):
            raise invalid([FieldError("If-None-Match", "must be * or absent")])
        client = await self._client(request, account)
        whole = await _read(request, WholeAccount, "application/json")
        change = self._change(client, account, whole, if_none_match is not None)
        return await self._send(request, client, change, wait=wait, within=within)

    async def patch(
        self,
        request: Request,
        account: Account,
        wait: Wait = 0.0,
        within: Within = None,
    ) -> Response:
        """What is not named stays as it is, whoever changes it meanwhile."""
        client = await self._client(request, account)
        patch = await _read(request, AccountPatch, MERGE_PATCH, "application/json")
        change = self._change(client, account, patch)
        return await self._send(request, client, change, wait=wait, within=within)

    async def get(self, request: Request, change_id: TransferId) -> Response:
        """Of the last day (a setting); what is older is in the ledger only."""
        client = await self._entrance.client(request, ACCOUNTS)
        try:
            status = self._entrance.desk.status(client.name, change_id)
        except Problem as problem:
            if problem.kind is not Kind.UNKNOWN_TRANSFER:
                raise
            raise _unknown(change_id) from None
        if status.state is State.POSTED:
            raise _unknown(change_id)  # it is a transfer
        return _respond(200, change_id, status)

    async def _client(self, request: Request, account: int) -> Client:
        client = await self._entrance.client(request, ACCOUNTS)
        client.require_account(account, to="change")
        return client

    def _change(
        self, client: Client, account: int, body: _Asked, must_be_new: bool = False
    ) -> AccountChange:
        """Raises Problem."""
        made = uuid7(now_ms(), self._random)
        asked = {**body.model_dump(), "change_id": body.change_id or made}
        try:
            return AccountChange(
                **asked,
                account=account,
                must_be_new=must_be_new,
                changed_by=client.name,
                created_at_ms=now_ms(),
            )
        except ValidationError as error:
            raise problem_of(error) from None

    async def _send(
        self,
        request: Request,
        client: Client,
        change: AccountChange,
        *,
        wait: float,
        within: float | None,
    ) -> Response:
        entrance, id_ = self._entrance, change.change_id
        entrance.rates.take(client.name)
        status = await self._clerk.send(client.name, change, entrance.within(within))
        status = await entrance.settled(request, client, id_, status, wait)
        return _respond(200 if status.final else 202, id_, status)


async def _read(request: Request, model: type[_M], *media_types: str) -> _M:
    """The body as one of these. Raises Problem."""
    body = await text_of(request, *media_types)
    try:
        read = model.model_validate_json(body)
    except ValidationError as error:
        raise problem_of(error) from None
    names = field_names(body)
    twice = [name for name in model.model_fields if names.count(name) > 1]
    if twice:
        raise invalid([FieldError(name, "is there more than once") for name in twice])
    return read


def _unknown(change_id: UUID) -> Problem:
    return Problem(
        Kind.UNKNOWN_CHANGE,
        f"You asked for no change {change_id} within the time that is kept here; what "
        "is older is in the ledger only.",
    )


def _respond(code: int, change_id: UUID, status: Status) -> Response:
    answer = ChangeStatus(
        change_id=change_id,
        state=status.state,
        reason=status.reason,
        first_state=status.first,
    )
    body = answer.model_dump_json(exclude_none=True) + "\n"
    location = f"/v1{CHANGE_PATH}".format(change_id=change_id)
    headers = {"Location": location} if code == 202 else None
    return Response(body, code, headers, media_type="application/json")
