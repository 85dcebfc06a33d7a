"""One process at a time: whoever has a journal or an index open holds a lock on it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO

from once.errors import Defect, Refused


def hold(lock: Path, what: str, setting: str) -> TextIO:
    """The file of a lock, which is held until it is closed.

    `what` is told: "the index /var/lib/index". Raises Refused when another process
    holds it, Defect when it cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise Defect(f"{what} ({setting}) cannot be opened: {error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Refused(
            f"another Store has {what} open; give each Store its own "
            f"({setting}); see docs/runbooks/store-not-ready.md"
        ) from error
    return file
