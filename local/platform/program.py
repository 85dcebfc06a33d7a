"""One of our programs as a process: its settings, its log, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from local.platform.environments import for_program
from local.processes.files import UMASK, private
from local.processes.waiting import wait_until


class Program:
    """One of our programs as a process of its own, with its log.

    Of `environment` and of our own it gets what is meant for it.
    """

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A program that is started again goes on in the same file.
        self._begins_at = log.stat().st_size if log.exists() else 0
        with open(log, "ab", opener=private) as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=for_program(arguments, {**os.environ, **environment}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                umask=UMASK,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def text(self) -> str:
        """All that this process has said so far."""
        return self.log.read_bytes()[self._begins_at :].decode(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its log has of one event so far, each with its fields."""
        events = map(_event, self.text.splitlines())
        return [event for event in events if event.get("event") == name]

    def url(self, timeout_seconds: float = 30.0) -> str:
        """Where it serves HTTP, once it says so."""

        def serves() -> bool:
            assert self.process.poll() is None, f"it has ended: {self.text}"
            return bool(self.events("serving"))

        what = f"an address in {self.log}"
        wait_until(serves, what=what, timeout_seconds=timeout_seconds)
        return str(self.events("serving")[-1]["url"])

    def kill(self) -> None:
        """SIGKILL: no chance to leave in order."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def terminate(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM, and the exit status once it has left."""
        self.process.terminate()
        return self.process.wait(timeout_seconds)

    def pause(self) -> None:
        """SIGSTOP: the process hangs, its connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: a zombie wakes up."""
        self.process.send_signal(signal.SIGCONT)


def _event(line: str) -> dict[str, Any]:
    """A line of JSON; whatever else there is, or is just being written, is empty."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
