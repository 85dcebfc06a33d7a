"""Finding the server of a data directory: Patroni starts it outside its own tree."""

from __future__ import annotations

from pathlib import Path

import psutil

from local.processes.files import read_untrusted


def find_postmaster(data: Path) -> list[psutil.Process]:
    """The postmaster that runs on `data`: one or none.

    Its pid file may be left from a crash and its pid be someone else's by now, so the
    process must also be a Postgres and have `data` as its working directory.
    """
    try:
        pid = int(read_untrusted(data / "postmaster.pid").split()[0])
        process = psutil.Process(pid)
        if process.name() != "postgres" or Path(process.cwd()) != data:
            return []
    except (OSError, ValueError, IndexError, psutil.Error):
        return []
    return [process]
