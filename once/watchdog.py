"""Ends the process when it can no longer be trusted to go on.

Client libraries have calls that ignore their own timeout, and C code can spin without
ever giving Python's lock back. No exception helps against either; a crash does, since
the next start recovers from what Kafka and Postgres say. So:

- a call made `within` so many seconds ends the process, with a sentence, when it has
  not come back by then;
- when no Python thread can run for `frozen_seconds_max`, the interpreter's own timer,
  which needs no lock, writes every thread's stack to stderr and ends the process;
- a supervisor that gave us a pipe gets a byte each second: whether we make progress.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import ContextManager

from once import logs
from once.errors import ExitStatus

log = logs.get(__name__)

ROUND_SECONDS = 1.0
PROGRESS, STALLED = b".", b"!"  # what a supervisor reads
STDERR = 2

Within = Callable[[float, str], ContextManager[None]]


def unwatched(seconds: float, doing: str) -> ContextManager[None]:
    """In place of `Watchdog.within`, where nobody may end the process."""
    return nullcontext()


class Watchdog:
    """A thread that watches this process until it ends."""

    def __init__(
        self,
        frozen_seconds_max: float,
        stalled: Callable[[], str | None],
        pulse_fd: int | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """`stalled()` says why there is no progress; `pulse_fd` is told.

        A frozen process ends by itself; one that is merely stalled is the business of
        whoever reads its pulse or asks for its liveness.
        """
        self._frozen_seconds_max = frozen_seconds_max
        self._stalled = stalled
        self._pulse_fd = pulse_fd
        self._end = end
        self._due: dict[int, tuple[float, str]] = {}
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    @contextmanager
    def within(self, seconds: float, doing: str) -> Iterator[None]:
        """End the process when the block takes longer than `seconds`."""
        number = next(self._numbers)
        self._due[number] = (time.monotonic() + seconds, doing)
        try:
            yield
        finally:
            del self._due[number]

    def _run(self) -> None:
        while True:
            if self._frozen_seconds_max > 0:
                faulthandler.dump_traceback_later(
                    self._frozen_seconds_max, exit=True, file=STDERR
                )
            self._look()
            time.sleep(ROUND_SECONDS)  # the pace of the watch is the point

    def _look(self) -> None:
        now = time.monotonic()
        for due, doing in list(self._due.values()):
            if now > due:
                log.critical(
                    "a call does not come back: ending, so that a new start recovers",
                    doing=doing,
                    seconds_late=round(now - due, 1),
                )
                self._end(ExitStatus.IN_DOUBT)
        if self._pulse_fd is not None:
            pulse = PROGRESS if self._stalled() is None else STALLED
            with suppress(OSError):  # the supervisor is gone; the leash tells
                os.write(self._pulse_fd, pulse)
