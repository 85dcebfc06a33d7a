"""Runs another program to its end: what it prints, or one sentence why it failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.processes.errors import StackError

SAID_MAX = 800  # characters of its last words


def run(
    command: Sequence[str],
    what: str,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Its standard output; `environment` is added to ours. Raises StackError."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-SAID_MAX:]
        raise StackError(f"{what}: {said}")
    return done.stdout
