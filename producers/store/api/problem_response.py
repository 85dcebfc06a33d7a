"""A problem as an HTTP response, the same from every layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from once import logs
from producers.store.problems import Kind, Problem

log = logs.get(__name__)

# The rest of what the client sends is not wanted.
_LAST = (Kind.TIMEOUT, Kind.TOO_LARGE, Kind.BUSY)


def mistake(path: str, error: Exception) -> Problem:
    """What to say of a mistake of ours: it is logged, and says nothing of itself."""
    log.error("a request failed", path=path, exc_info=error)
    return Problem(Kind.INTERNAL, "It has been logged.")


def internal(path: str, error: Exception) -> Response:
    """The response to what a handler did not expect."""
    if isinstance(error, ClientDisconnect):  # nobody's mistake, and nobody reads it
        return respond(Problem(Kind.TIMEOUT, "The client left in the middle."))
    return respond(mistake(path, error))


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response to a request that failed, with what its headers should say."""
    fields = dict(headers or {})
    if problem.retry_after_seconds is not None:
        fields["Retry-After"] = str(problem.retry_after_seconds)
    if problem.challenge is not None:
        fields["WWW-Authenticate"] = problem.challenge
    if problem.kind in _LAST:
        fields["Connection"] = "close"
    text = json.dumps(problem.body(), ensure_ascii=False, separators=(",", ":"))
    return Response(
        f"{text}\n".encode(errors="replace"),  # it may quote what no client should send
        HTTPStatus(problem.kind.status),
        fields,
        media_type="application/problem+json",
    )


def as_bytes(problem: Problem) -> bytes:
    """The same for a connection that ends, below every application."""
    response = respond(problem, {"Connection": "close"})
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [b": ".join(header) for header in response.raw_headers]
    return b"\r\n".join((*lines, b"", bytes(response.body)))
