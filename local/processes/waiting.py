"""Waiting for a condition, with a deadline: the stack never just sleeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from local.processes.errors import StackError


class Cancelled(StackError):
    """The wait was given up because the start as a whole failed or was interrupted."""


class Patience:
    """How the waits of one stack are ended early: one flag, shared by its threads."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End all waits, now and later."""
        self._cancelled.set()

    def pause(self, seconds: float, what: str) -> None:
        """Let some time pass. Raises Cancelled when told to give up."""
        if self._cancelled.wait(seconds):
            raise Cancelled(f"stopped waiting for {what}")


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    timeout_seconds: float,
    interval_seconds: float = 0.1,
    patience: Patience | None = None,
    logs: Iterable[Path] = (),
) -> None:
    """Poll `condition` until it holds.

    Raises StackError naming `what`, and the `logs` that may say why, at the deadline;
    Cancelled when `patience` ends.
    """
    patience = patience or Patience()
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            see = ", ".join(map(str, logs))
            raise StackError(
                f"gave up after {timeout_seconds:.0f} s waiting for {what}"
                + (f"; see {see}" if see else "")
            )
        patience.pause(interval_seconds, what)
