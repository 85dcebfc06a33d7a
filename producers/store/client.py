"""A client of the Store's API that repeats until it knows, always under the same id.

::

    with StoreClient("https://store.example:8443", token=token) as store:
        status = store.send(transfer, wait_seconds=5)     # 202 or final, or it raises
        for status in store.events(transfer.transfer_id): ...

The id is in the transfer before the first send. Keep the transfer until `send` returns:
after a crash, send it again.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NoReturn, Self
from uuid import UUID

import httpx

from once.backoff import MAX_SECONDS, pauses
from once.errors import Defect, Indeterminate, OnceError
from producers.store.api.models import BatchAnswer, ProblemDetails, TransferStatus
from producers.store.settings import is_loopback
from producers.store.transfers import Transfer

DEADLINE_SECONDS = 60.0
ANSWER_SECONDS_MAX = 10.0  # of one attempt, beside what is waited for a verdict
REPEATABLE = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_NDJSON = {"Content-Type": "application/x-ndjson"}


class StoreRefused(OnceError):
    """The Store's final no: `problem` says why."""

    def __init__(self, problem: ProblemDetails) -> None:
        wrong = "".join(f" {each.field}: {each.detail}." for each in problem.errors)
        super().__init__(f"{problem.title}: {problem.detail}{wrong}")
        self.problem = problem


class DeadlineExceeded(Indeterminate):
    """Time is over and the outcome is unknown: send the same transfer again later."""


class StoreClient:
    """Not thread-safe; one connection is kept alive."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        trust: ssl.SSLContext | None = None,
        name: str | None = None,
        on_repeat: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`trust` has the authorities that may vouch for the Store; None: the usual.

        `name` is the Store's in its certificate, where `url` has another (a tunnel, an
        address). `on_repeat` is told why an attempt was not the last.

        Raises Defect where a token would go over a network in the clear.
        """
        at = httpx.URL(url)
        here = is_loopback(at.host)
        if token is not None and at.scheme != "https" and not here:
            raise Defect(
                f"a token is not sent in the clear to {at.host}: give the Store's "
                "https:// address (http:// is for loopback alone)"
            )
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._extensions = {} if name is None else {"sni_hostname": name}
        self._on_repeat = on_repeat
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            verify=trust if trust is not None else True,
            timeout=ANSWER_SECONDS_MAX,
            trust_env=not here,  # a proxy is elsewhere: it would see the token
        )
        self._deadline_seconds = deadline_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def send(self, transfer: Transfer, wait_seconds: float = 0.0) -> TransferStatus:
        """The status once the transfer is promised, or decided within `wait_seconds`.

        Raises StoreRefused, DeadlineExceeded.
        """
        answer = self._repeat(
            "PUT",
            f"/v1/transfers/{transfer.transfer_id}",
            params={"wait": wait_seconds} if wait_seconds else {},
            content=transfer.model_dump_json().encode(),
            headers={"Content-Type": "application/json"},
            timeout=ANSWER_SECONDS_MAX + wait_seconds,
        )
        return TransferStatus.model_validate_json(answer.content)

    def send_all(self, transfers: Sequence[Transfer]) -> list[BatchAnswer]:
        """One answer per transfer, in order: a status, or the final problem of it.

        Raises StoreRefused (the whole batch), DeadlineExceeded.
        """
        answers: dict[int, BatchAnswer] = {}
        attempts = self._attempts()
        while rest := [n for n in range(len(transfers)) if n not in answers]:
            body = b"".join(
                transfers[n].model_dump_json().encode() + b"\n" for n in rest
            )
            for answer in self._batch(body, attempts):
                row = rest[answer.line - 1]
                if answer.problem is None or answer.problem.status not in REPEATABLE:
                    answers[row] = answer.model_copy(update={"line": row + 1})
            if len(answers) < len(transfers):
                attempts.rest("some lines were not taken")
        return [answers[row] for row in range(len(transfers))]

    def status(self, transfer_id: UUID) -> TransferStatus:
        """How far a transfer is. Raises StoreRefused (also: unknown)."""
        answer = self._repeat("GET", f"/v1/transfers/{transfer_id}")
        return TransferStatus.model_validate_json(answer.content)

    def events(self, transfer_id: UUID) -> Iterator[TransferStatus]:
        """Every status from now on, the final one last; a status may come twice.

        Asks again when the connection breaks, when the stream ends before the final
        status, and where `send` would. Raises StoreRefused, and DeadlineExceeded when
        no stream stayed open within the deadline.
        """
        attempts = self._attempts()
        while True:
            at_least_seconds = 0.0
            try:
                for status in self._events(transfer_id, attempts):
                    yield status
                    if status.state.final:
                        return
                why = "the events ended before the final one"
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            except _Later as later:
                why, at_least_seconds = str(later), later.at_least_seconds
            attempts.rest(why, at_least_seconds)

    def _events(
        self, transfer_id: UUID, attempts: _Attempts
    ) -> Iterator[TransferStatus]:
        path = f"/v1/transfers/{transfer_id}/events"
        with self._http.stream(
            "GET", path, timeout=DEADLINE_SECONDS, extensions=self._extensions
        ) as answer:
            if answer.is_error:
                answer.read()
                _raise_error(answer)
            opened = time.monotonic()
            for line in answer.iter_lines():
                if time.monotonic() - opened > MAX_SECONDS:
                    attempts.begin()  # it was open: what follows is new trouble
                if line.startswith("data: "):
                    yield TransferStatus.model_validate_json(line[6:])

    def _batch(self, body: bytes, attempts: _Attempts) -> Iterator[BatchAnswer]:
        answer = self._repeat(
            "POST",
            "/v1/transfers:batch",
            attempts,
            content=body,
            headers=_NDJSON,
        )
        for line in answer.text.splitlines():
            fields: dict[str, Any] = json.loads(line)
            if "line" in fields:  # else the Store stopped reading here
                yield BatchAnswer.model_validate(fields)

    def _attempts(self) -> _Attempts:
        url = str(self._http.base_url)
        return _Attempts(url, self._deadline_seconds, self._on_repeat)

    def _repeat(
        self, method: str, path: str, attempts: _Attempts | None = None, **request: Any
    ) -> httpx.Response:
        """The first answer that is final. Raises StoreRefused, DeadlineExceeded."""
        attempts = attempts or self._attempts()
        while True:
            try:
                answer = self._http.request(
                    method, path, **request, extensions=self._extensions
                )
                if not answer.is_error:
                    return answer
                _raise_error(answer)
            except httpx.TransportError as error:
                attempts.rest(f"{type(error).__name__}: {error}")
            except _Later as later:
                attempts.rest(str(later), later.at_least_seconds)


class _Later(Exception):
    """Not now: the Store, or what is before it, may say yes later."""

    def __init__(self, why: str, at_least_seconds: float) -> None:
        super().__init__(why)
        self.at_least_seconds = at_least_seconds


class _Attempts:
    """The pauses between the attempts of one call, and its deadline."""

    def __init__(
        self, url: str, deadline_seconds: float, on_repeat: Callable[[str], None]
    ) -> None:
        self._url = url
        self._on_repeat = on_repeat
        self._deadline_seconds = deadline_seconds
        self.begin()

    def begin(self) -> None:
        """From now on, as if nothing had been tried."""
        self._end = time.monotonic() + self._deadline_seconds
        self._pauses = pauses()

    def rest(self, why: str, at_least_seconds: float = 0.0) -> None:
        """Wait before the next attempt. Raises DeadlineExceeded when there is none."""
        self._on_repeat(why)
        pause = max(next(self._pauses), at_least_seconds)
        if time.monotonic() + pause > self._end:
            raise DeadlineExceeded(
                f"no final answer of {self._url} within {self._deadline_seconds:g} s "
                f"({why}); send it again, with the same id"
            )
        time.sleep(pause)  # the Store said when, or nobody can say


def _raise_error(answer: httpx.Response) -> NoReturn:
    """Raise _Later, or StoreRefused where the same request stays wrong."""
    refused = _refused(answer)
    if answer.status_code in REPEATABLE:
        raise _Later(str(refused), retry_after_seconds(answer.headers))
    raise refused


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """What Retry-After asks for: seconds, or until a date; 0 when it says neither.

    A date is compared with the answer's own, so that our clock may be wrong.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    then = _date(text)
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then else 0.0


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _refused(answer: httpx.Response) -> StoreRefused:
    try:
        problem = ProblemDetails.model_validate_json(answer.content)
    except ValueError:  # of something between us and the Store
        problem = ProblemDetails(
            type="about:blank",
            title=answer.reason_phrase,
            status=answer.status_code,
            detail=answer.text[:200],
            code="unknown",
        )
    return StoreRefused(problem)
