"""Runs several workers as processes of one command, and keeps them running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

from consumers.bank.settings import BankSettings
from once import logs
from once.backoff import pauses

log = logs.get(__name__)

EXITS_FOR_A_PERSON = (65, 78)  # Refused, Defect: starting again would change nothing


class _Child:
    """One worker; started again under the same name, whenever that is asked for."""

    def __init__(self, settings: BankSettings, index: int) -> None:
        self.instance = f"{settings.instance}-{index}"
        port = settings.health_port and settings.health_port + index
        self._environment = {
            **os.environ,
            "BANK_INSTANCE": self.instance,
            "BANK_HEALTH_PORT": str(port),
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """A process that ends with this one, however this one ends."""
        command = [sys.executable, "-m", "consumers.bank", "run", "--leashed"]
        self.process = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.PIPE
        )
        return self.process


def follow_leash() -> None:
    """Leave in order when standard input ends: its other end died with the parent."""

    def wait() -> None:
        # Not through sys.stdin: at exit, Python aborts when a thread is in its buffer.
        while os.read(0, 1):
            pass
        log.warning("the parent has gone, leaving too")
        os.kill(os.getpid(), signal.SIGTERM)

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
    delays = pauses(first_seconds=0.5)
    status = 0
    while not stopping and not status:
        time.sleep(0.1)  # wakes for a signal at once; children are looked at in turn
        for child in children:
            ended = child.process.poll()
            if ended in EXITS_FOR_A_PERSON:
                status = ended
            elif ended is not None and not stopping:
                log.error("worker died", instance=child.instance, status=ended)
                time.sleep(next(delays))  # not in a hot loop when it dies at once
                child.start()
    for child in children:
        child.process.terminate()
    for child in children:
        child.process.wait()
    return status
