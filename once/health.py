"""Health over HTTP: is it making progress, can it do its work, what are its numbers.

| path     | 200 when                                | 503 says                       |
|----------|-----------------------------------------|--------------------------------|
| /livez   | the main loop beat not long ago         | since when it stands still     |
| /readyz  | every check returns None                | which check fails, and why     |
| /metrics | always (Prometheus text)                | -                              |

Liveness is progress, not "the thread is alive": client calls can hang. A restart is
the cure for a hang and not for an outage, so checks of other systems are readiness.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from once import logs
from once.telemetry import SCRAPE_CONTENT_TYPE

# A client that connects and stays silent gives its thread back after this long.
CLIENT_SECONDS_MAX = 5

Check = Callable[[], str | None]

log = logs.get(__name__)


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
        """Return one sentence when the last beat is too old, else None."""
        age = self._clock() - self._last
        if age <= self.stall_seconds_max:
            return None
        return (
            f"the main loop has made no progress for {age:.1f} s"
            f" (at most {self.stall_seconds_max:g} s are allowed)"
        )


class HealthServer:
    """Serves the three paths from a daemon thread until `close()`.

    ::

        with HealthServer(progress, {"database": check}, telemetry.scrape) as health:
            print(health.url)

    A readiness check returns None or one sentence; one that raises counts as failing
    with the exception as its sentence. Checks run on the caller's request, in its
    thread: they read state that the main loop keeps, they do no slow work.
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
        try:
            self._server = _Server((host, port), _Handler, self)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot serve health and metrics on {host}:{port}"
                f" ({error.strerror}); choose another port, or 0 for a free one",
            ) from error
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="health",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Stop serving and free the port. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def live(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return status and body of /livez."""
        reason = self._progress.stalled()
        if reason is not None:
            return _failing(reason)
        return HTTPStatus.OK, {"status": "ok", "message": "the main loop is moving"}

    def ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return status and body of /readyz, every check by name."""
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
        """Return the Prometheus page."""
        return self._scrape()


def _failing(message: str) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "failing", "message": message}


def _ask(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # a broken check is an answer, not a crash
        return f"the check itself failed: {type(error).__name__}: {error}"


class _Server(ThreadingHTTPServer):
    """The standard library's server, without its name look-up and its tracebacks."""

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        health: HealthServer,
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.health = health
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the DNS for this machine's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Almost always a probe that hung up. Never a reason to write to stderr.
        log.debug("health request failed", client=client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "once"
    sys_version = ""
    timeout = CLIENT_SECONDS_MAX

    def do_GET(self) -> None:
        health = self.server.health
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, health.metrics(), SCRAPE_CONTENT_TYPE)
        elif path == "/livez":
            self._json(*health.live())
        elif path == "/readyz":
            self._json(*health.ready())
        else:
            message = "there is /livez, /readyz and /metrics here"
            self._json(HTTPStatus.NOT_FOUND, {"status": "absent", "message": message})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: probes come every few seconds."""

    def _json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._answer(status, json.dumps(body).encode() + b"\n", "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
