"""Runs another program to its end: what it prints, or one sentence why it failed.

run(["git", "status"], "git status", directory=checkout)
attempt(["docker", "info"], timeout_seconds=20).returncode
run_patiently(["mvn", ...], patience)        until told to give up
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from local.processes.errors import MissingPart, StackError
from local.processes.waiting import Patience

SAID_MAX = 800  # characters of its last words
POLL_SECONDS = 0.1

Done = subprocess.CompletedProcess[str]


class How(TypedDict, total=False):
    """How a program is run, where it is not as we are."""

    directory: Path | None
    environment: Mapping[str, str]  # added to ours
    stdin: str | None
    umask: int
    timeout_seconds: float


def run(command: Sequence[str], what: str, **how: Unpack[How]) -> str:
    """Its standard output. Raises StackError, and MissingPart when it is not here."""
    try:
        done = attempt(command, **how)
    except FileNotFoundError as error:
        raise MissingPart(f"{what}: {error.filename} is missing") from error
    if done.returncode != 0:
        raise StackError(f"{what}: {last_words(done)}")
    return done.stdout


def attempt(command: Sequence[str], **how: Unpack[How]) -> Done:
    """How it ended, well or badly. Raises OSError, subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=how.get("directory"),
        env={**os.environ, **how.get("environment", {})},
        input=how.get("stdin", ""),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        umask=how.get("umask", -1),
        timeout=how.get("timeout_seconds"),
    )


def last_words(done: Done) -> str:
    """Why it failed, in its own words."""
    return (done.stderr.strip() or done.stdout.strip())[-SAID_MAX:]


def run_patiently(
    command: Sequence[str], what: str, patience: Patience, *, umask: int = -1
) -> Done:
    """The same, killed when `patience` ends; its `stdout` is all that it said.

    Raises Cancelled, and OSError.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        umask=umask,
    ) as process:
        try:
            while True:
                try:
                    said, _ = process.communicate(timeout=POLL_SECONDS)
                    return Done(command, process.returncode, said, "")
                except subprocess.TimeoutExpired:
                    patience.pause(0, what)
        except BaseException:
            process.kill()
            raise
