"""A process that cannot be trusted to go on ends, whatever holds it up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

IN_TIME = 30.0

HANGS = """
import threading
from once.watchdog import Watchdog
dog = Watchdog(0, lambda: None)
dog.start()
with dog.within(0.5, "waiting for Godot"):
    threading.Event().wait()
"""
COMES_BACK = """
import time
from once.watchdog import Watchdog
dog = Watchdog(0, lambda: None)
dog.start()
with dog.within(0.2, "waiting for a moment"):
    pass
time.sleep(2)  # two rounds of the watch
"""
SPINS = """
import re
from once.watchdog import Watchdog
Watchdog(2, lambda: None).start()
re.match("(a+)+b", "a" * 60)  # in C, with Python's lock
"""
PULSES = """
import sys, time
from once.watchdog import Watchdog
why = [None]
Watchdog(0, lambda: why[0], int(sys.argv[1])).start()
time.sleep(1.5)
why[0] = "it stands still"
sys.stdin.read()
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=IN_TIME,
        check=False,
    )


def test_a_call_that_does_not_come_back_ends_the_process_with_a_sentence() -> None:
    ended = run(HANGS)
    assert ended.returncode == 70
    assert "a call does not come back" in ended.stdout + ended.stderr
    assert "waiting for Godot" in ended.stdout + ended.stderr


def test_a_call_that_comes_back_ends_nothing() -> None:
    assert run(COMES_BACK).returncode == 0


def test_a_process_that_spins_in_c_ends_and_shows_where() -> None:
    ended = run(SPINS)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr and "most recent call first" in ended.stderr


def test_a_pulse_ends_with_the_progress() -> None:
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PULSES, str(theirs)],
        pass_fds=[theirs],
        stdin=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        assert os.read(ours, 1) == b"."
        assert process.stdin is not None
        beats, last = 1, b"."
        os.set_blocking(ours, False)
        for _ in range(40):
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
            with pytest.raises(BlockingIOError):
                while said := os.read(ours, 1):
                    beats += said == b"."
                    last = said
        assert 1 <= beats <= 3
        assert last == b"!"
        process.stdin.close()
        assert process.wait(IN_TIME) == 0
    os.close(ours)
