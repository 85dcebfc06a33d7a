"""Pages of docs/ as a person works through them, in terminals of this test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from local.processes.waiting import wait_until
from tests.stack.conftest import JARS, ROOT

# What make tells the makes that it starts: a person's terminal has none of it.
OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS"}
READY_SECONDS, PAGE_SECONDS, LEAVE_SECONDS = 120.0, 180.0, 60.0
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TRY = re.compile(r"^make try\b.*\n", re.MULTILINE)


def blocks(page: str, language: str = "") -> list[str]:
    """The blocks of a page in a language; by default commands, as they are typed.

    What belongs in the first terminal is running already.
    """
    found = BLOCK.findall((ROOT / "docs" / page).read_text())
    return [TRY.sub("", dedent(block)) for of, block in found if of == language]


@contextmanager
def first_terminal(state: Path, log: Path, *sizes: str) -> Iterator[dict[str, str]]:
    """`make try`, on a stack of its own; the environment of the other terminals."""
    environment = {**os.environ, "ONCE_STATE_DIR": str(state), "STORE_PORT": "0"}
    command = [sys.executable, "-m", "local", "try", f"--jars-dir={JARS}", *sizes]
    with log.open("w") as out:
        trial = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        wait_until(
            lambda: "Ctrl-C ends" in log.read_text() or trial.poll() is not None,
            what="its advice",
            timeout_seconds=READY_SECONDS,
        )
        found = re.search(r"curl -X PUT http://127.0.0.1:(\d+)/", log.read_text())
        assert found, log.read_text()
        yield {**environment, "PORT": found[1]}
    finally:
        trial.send_signal(signal.SIGINT)
        try:
            assert trial.wait(LEAVE_SECONDS) == 0, log.read_text()
        finally:
            trial.kill()


def say(
    block: str,
    environment: dict[str, str],
    folder: Path = ROOT,
    seconds_max: float = PAGE_SECONDS,
) -> str:
    """What a block prints in a second terminal; it must succeed."""
    here = block.replace("localhost:8080", f"localhost:{environment['PORT']}")
    done = subprocess.run(
        ["bash", "-euc", here],
        cwd=folder,
        env={n: value for n, value in environment.items() if n not in OF_MAKE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds_max,
    )
    assert done.returncode == 0, f"{here}\n{done.stdout}"
    return done.stdout
