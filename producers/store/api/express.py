"""The plain PUT on the short way: around FastAPI's machinery, which was half its CPU.

Only the exact form that clients send all the time goes here, without a query or special
headers. Everything else, and every other path, is FastAPI's, with the same handler.
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from producers.store.api.problem_response import internal, respond
from producers.store.api.routes import TRANSFER_PATH, TransferRoutes
from producers.store.ids import new_transfer_id_of
from producers.store.problems import Problem

_PREFIX = "/v1/transfers/"
_PATH_LENGTH = len(_PREFIX) + 36  # a UUID as usual


class Route:
    """What an observer asks of a route."""

    path = f"/v1{TRANSFER_PATH}"


class Express:
    """ASGI middleware that answers plain PUTs itself."""

    def __init__(self, app: ASGIApp, routes: TransferRoutes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        transfer_id = plain_put(scope)
        if transfer_id is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = Route
        try:
            request = Request(scope, receive)
            response = await self._routes.put(request, transfer_id)
        except Problem as problem:
            response = respond(problem)
        except Exception as error:
            response = internal(scope["path"], error)
        await response(scope, receive, send)


def plain_put(scope: Scope) -> UUID | None:
    """The id of a plain PUT, or None: then it is not one."""
    if scope.get("method") != "PUT" or scope["query_string"]:
        return None
    path = scope["path"]
    if len(path) != _PATH_LENGTH or not path.startswith(_PREFIX):
        return None
    if b"request-timeout" in dict(scope["headers"]):
        return None
    try:
        return new_transfer_id_of(path[len(_PREFIX) :])
    except ValueError:
        return None
