"""Health over HTTP: is it making progress, can it do its work, what are its numbers.

| path     | 200 when                                | 503 says                       |
|----------|-----------------------------------------|--------------------------------|
| /livez   | the main loop beat not long ago         | since when it stands still     |
| /readyz  | every check returns None                | which check fails, and why     |
| /metrics | always (Prometheus text)                | -                              |

Liveness is progress, not "the thread is alive": client calls can hang. A restart is
the cure for a hang and not for an outage, so checks of other systems are readiness.
How requests are read and answered is in health_http.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Self

from once.health_http import Answer, HttpThread
from once.redact import redacted
from once.telemetry import SCRAPE_CONTENT_TYPE

Check = Callable[[], str | None]


class Progress:
    """When the main loop was last seen moving; `beat()` is free to call."""

    def __init__(
        self,
        stall_seconds_max: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stall_seconds_max = stall_seconds_max
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Say that the loop moved: also when idle, waiting or retrying an outage."""
        self._last = self._clock()

    def stalled(self) -> str | None:
        """One sentence when the last beat is too old, else None."""
        age = self._clock() - self._last
        if age <= self.stall_seconds_max:
            return None
        return (
            f"the main loop has made no progress for {age:.1f} s"
            f" (at most {self.stall_seconds_max:g} s are allowed)"
        )


class HealthServer:
    """Serves the three paths from a thread of its own until `close()`.

    ::

        with HealthServer(progress, {"database": check}, telemetry.scrape) as health:
            print(health.url)

    A readiness check returns None or one sentence; one that raises counts as failing
    with the exception as its sentence. Checks read state that the main loop keeps,
    they do no slow work: /livez is answered beside them, not after them.
    """

    def __init__(
        self,
        progress: Progress,
        checks: Mapping[str, Check],
        scrape: Callable[[], bytes],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._progress = progress
        self._checks = checks
        self._scrape = scrape
        self._http = HttpThread(
            {
                "/livez": lambda: Answer.of_json(*self.live()),
                "/readyz": lambda: Answer.of_json(*self.ready()),
                "/metrics": lambda: Answer(
                    HTTPStatus.OK, self.metrics(), SCRAPE_CONTENT_TYPE
                ),
            },
            host,
            port,
            at_once="/livez",
        )
        self.host = host
        self.port = self._http.port

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Stop serving and free the port. May be called twice."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def live(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Status and body of /livez."""
        reason = self._progress.stalled()
        if reason is not None:
            return _failing(reason)
        return HTTPStatus.OK, {"status": "ok", "message": "the main loop is moving"}

    def ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Status and body of /readyz, every check by name."""
        failed: dict[str, str] = {}
        for name, check in self._checks.items():
            reason = _ask(check)
            if reason is not None:
                failed[name] = reason
        results = {name: failed.get(name, "ok") for name in self._checks}
        if failed:
            message = "; ".join(f"{name}: {why}" for name, why in failed.items())
            status, body = _failing(message)
            return status, {**body, "checks": results}
        body = {"status": "ok", "message": "ready to work", "checks": results}
        return HTTPStatus.OK, body

    def metrics(self) -> bytes:
        """The Prometheus page."""
        return self._scrape()


def _failing(message: str) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "failing", "message": message}


def _ask(check: Check) -> str | None:
    try:
        reason = check()
    except Exception as error:  # a broken check is an answer, not a crash
        reason = f"the check itself failed: {type(error).__name__}: {error}"
    return None if reason is None else redacted(reason)
