"""Runs several workers as processes of one command, and keeps them running.

A worker that ended is started again; so is one that lives and does nothing: each says
every second whether it makes progress. One that does not, or is silent for as long, is
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

from consumers.bank.settings import BankSettings
from once import logs
from once.backoff import pauses
from once.errors import ExitStatus
from once.watchdog import STALLED

log = logs.get(__name__)

# Starting again would change nothing.
EXITS_FOR_A_PERSON = (ExitStatus.REFUSED, ExitStatus.DEFECT)
START_SECONDS_MAX = 30.0  # until a worker's first pulse
HEALTHY_SECONDS = 60.0  # one that lived so long is started again without a pause
# A call into a client library ends within a minute, or the worker does.
LEAVE_SECONDS_MAX = 90.0


class _Child:
    """One worker; started again under the same name, whenever that is asked for."""

    def __init__(self, settings: BankSettings, index: int) -> None:
        self.instance = f"{settings.instance}-{index}"
        self._silence_seconds_max = settings.stall_seconds_max + 5
        port = settings.health_port and settings.health_port + index
        self._environment = {
            **os.environ,
            "BANK_INSTANCE": self.instance,
            "BANK_HEALTH_PORT": str(port),
        }
        self._delays = self._fresh_delays()
        self._start_at = 0.0
        self._pulse = -1
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """A process that ends with this one, however this one ends."""
        self._pulse, theirs = os.pipe()
        os.set_blocking(self._pulse, False)
        command = [sys.executable, "-m", "consumers.bank", "run", "--leashed"]
        self.process = subprocess.Popen(
            [*command, "--pulse", str(theirs)],
            env=self._environment,
            stdin=subprocess.PIPE,
            pass_fds=[theirs],
        )
        os.close(theirs)
        self._began = time.monotonic()
        self._heard = self._began + START_SECONDS_MAX
        self._start_at = 0.0
        return self.process

    def watch(self) -> int | None:
        """Start it again if it ended, end it if it hangs; a status for a person."""
        now = time.monotonic()
        if self._start_at:
            if now >= self._start_at:
                self.start()
            return None
        ended = self.process.poll()
        if ended is None:
            self._listen(now)
            return None
        if ended in EXITS_FOR_A_PERSON:
            return ended
        if now - self._began > HEALTHY_SECONDS:
            self._delays = self._fresh_delays()
        log.error("worker died", instance=self.instance, status=ended)
        os.close(self._pulse)
        self._start_at = now + next(self._delays)  # no hot loop when it dies at once
        return None

    def _listen(self, now: float) -> None:
        said = b""
        with suppress(BlockingIOError):
            said = os.read(self._pulse, 4096)
            self._heard = now
        if said.endswith(STALLED) or now - self._heard > self._silence_seconds_max:
            log.error("worker makes no progress and is killed", instance=self.instance)
            self.process.kill()
            self._heard = now

    @staticmethod
    def _fresh_delays() -> Iterator[float]:
        return pauses(first_seconds=0.5)


def follow_leash() -> None:
    """Leave in order when standard input ends: its other end died with the parent."""

    def wait() -> None:
        # Not through sys.stdin: at exit, Python aborts when a thread is in its buffer.
        while os.read(0, 1):
            pass
        log.warning("the parent has gone, leaving too")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LEAVE_SECONDS_MAX)  # the time that leaving in order may take
        os._exit(ExitStatus.IN_DOUBT)

    threading.Thread(target=wait, name="leash", daemon=True).start()


def run(settings: BankSettings, workers: int) -> int:
    """Keep `workers` processes running until SIGTERM or SIGINT; the exit status."""
    logs.configure("bank", settings.instance, settings.log_level)
    children = [_Child(settings, index) for index in range(workers)]
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    status: int | None = None
    while not stopping and not status:
        time.sleep(0.1)  # wakes for a signal at once; children are looked at in turn
        for child in children:
            status = status or child.watch()
    for child in children:
        child.process.terminate()
    _wait(children)
    return status or 0


def _wait(children: list[_Child]) -> None:
    """Until all have left; what hangs is killed, which loses nothing."""
    until = time.monotonic() + LEAVE_SECONDS_MAX
    for child in children:
        try:
            child.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("worker does not leave and is killed", instance=child.instance)
            child.process.kill()
            child.process.wait()
