"""A problem as an HTTP response, the same from every layer."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from once import logs
from producers.store.problems import Kind, Problem

log = logs.get(__name__)


def internal(path: str, error: Exception) -> Response:
    """The response to a mistake of ours: it is logged, and says nothing of itself."""
    log.error("a request failed", path=path, exc_info=error)
    return respond(Problem(Kind.INTERNAL, "It has been logged."))


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response to a request that failed, with what its headers should say."""
    found = dict(headers or {})
    if problem.retry_after_s is not None:
        found["Retry-After"] = str(problem.retry_after_s)
    if problem.kind is Kind.UNAUTHENTICATED:
        found["WWW-Authenticate"] = "Bearer"
    if problem.kind in (Kind.TIMEOUT, Kind.TOO_LARGE, Kind.BUSY):
        found["Connection"] = "close"  # the rest of the body is not wanted
    return JSONResponse(
        problem.body(),
        HTTPStatus(problem.kind.status),
        found,
        media_type="application/problem+json",
    )
