"""Several terminals on one stack, as pages of docs/ ask for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.processes.waiting import wait_until
from tests.stack.conftest import ROOT
from tests.stack.pages import PAGE_SECONDS, say

READY_SECONDS, LEAVE_SECONDS = 120.0, 60.0


class Desk:
    """A stack of its own, and terminals in which a person types."""

    def __init__(self, state: Path, folder: Path = ROOT) -> None:
        self.state = state
        self.folder = folder  # in which they type
        self.environment = {
            **os.environ,
            "ONCE_STATE_DIR": str(state),
            "STORE_PORT": "0",
            "PORT": "0",
        }

    def here(self, block: str) -> str:
        """A block of a page, for this stack and not for the one of the checkout."""
        return block.replace(".local/", f"{self.state}/")

    def say(self, block: str, seconds_max: float = PAGE_SECONDS) -> str:
        """What it prints; it must succeed, in this time."""
        return say(self.here(block), self.environment, self.folder, seconds_max)

    @contextmanager
    def runs(self, command: str, until: str) -> Iterator[Path]:
        """A terminal of its own, until Ctrl-C; the file of what it prints."""
        log = self.state.parent / f"{len(list(self.state.parent.glob('*.log')))}.log"
        with log.open("w") as out:
            running = subprocess.Popen(
                ["bash", "-c", f"exec env {self.here(command)}"],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: until in log.read_text() or running.poll() is not None,
                what=f"'{until}' of {command}",
                timeout_seconds=READY_SECONDS,
            )
            assert running.poll() is None, log.read_text()
            yield log
        finally:
            os.killpg(running.pid, signal.SIGINT)
            try:
                running.wait(LEAVE_SECONDS)
            finally:
                running.kill()

    @contextmanager
    def serves(self, command: str) -> Iterator[None]:
        """A Store of its own; pages call it localhost:8080."""
        with self.runs(command, until="serving") as log:
            found = re.search(r'"url": "https?://[^:]+:(\d+)"', log.read_text())
            assert found, log.read_text()
            self.environment["PORT"] = found[1]
            yield
