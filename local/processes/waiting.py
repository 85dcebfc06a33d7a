"""Waiting for a condition, with a deadline: the stack never just sleeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from local.processes.errors import StackError


class Cancelled(StackError):
    """The wait was given up because the start as a whole failed or was interrupted."""


class Patience:
    """How the waits of one stack are ended early: one flag, shared by its threads."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def check(self, what: str) -> None:
        """Raises Cancelled when told to give up."""
        if self._cancelled.is_set():
            raise Cancelled(f"Stopped waiting for {what}.")

    def wait_until(
        self,
        condition: Callable[[], bool],
        *,
        what: str,
        timeout_s: float,
        interval_s: float = 0.1,
    ) -> None:
        """Poll `condition` until it holds.

        Raises StackError naming `what` at the deadline, Cancelled when told to give up.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                raise StackError(f"Gave up after {timeout_s:.0f} s waiting for {what}.")
            if self._cancelled.wait(interval_s):
                raise Cancelled(f"Stopped waiting for {what}.")
