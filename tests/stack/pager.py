"""Who is called when something is wrong: a webhook that remembers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from local.processes.errors import StackError
from local.processes.waiting import wait_until

# From a sample to the call: a scrape, a rule, a group.
LATE_SECONDS_MAX = 6.0

# They look at days: what used up a budget is not forgotten within a test.
SLOW_BURN = frozenset({"PostedLateBudgetShrinks", "StoreBudgetShrinks"})


class Pager:
    """A webhook to which Alertmanager sends; it keeps what is raised now, and ever."""

    def __init__(self) -> None:
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                pager._hear(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._raised: dict[str, str] = {}
        self.heard: set[str] = set()
        self.pages: dict[str, str] = {}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def raised(self) -> set[str]:
        """What is raised now, but for what burns slowly."""
        return set(self._raised.values()) - SLOW_BURN

    def wait(self, wanted: frozenset[str], timeout_seconds: float) -> None:
        """Until all of these have been heard."""
        try:
            wait_until(
                lambda: wanted <= self.heard,
                what=f"{', '.join(sorted(wanted))} to be raised",
                timeout_seconds=timeout_seconds,
            )
        except StackError as error:
            raise AssertionError(f"{error}; heard: {sorted(self.heard)}") from error

    def wait_quiet(self, timeout_seconds: float = 120.0) -> None:
        """Until nothing has been raised for some seconds: what is late comes, too."""
        quiet_since = time.monotonic()

        def quiet() -> bool:
            nonlocal quiet_since
            if self.raised:
                quiet_since = time.monotonic()
            return time.monotonic() - quiet_since > LATE_SECONDS_MAX

        try:
            wait_until(
                quiet,
                what="nothing to be raised any more",
                timeout_seconds=timeout_seconds,
            )
        except StackError as error:
            raise AssertionError(f"{error}; raised: {sorted(self.raised)}") from error

    def forget(self) -> None:
        """What was heard until now."""
        self.heard.clear()

    def _hear(self, said: dict[str, Any]) -> None:
        for alert in said["alerts"]:
            name = alert["labels"]["alertname"]
            if alert["status"] == "firing":
                self._raised[alert["fingerprint"]] = name
                self.heard.add(name)
                self.pages[name] = alert["annotations"]["runbook_url"]
            else:
                self._raised.pop(alert["fingerprint"], None)
