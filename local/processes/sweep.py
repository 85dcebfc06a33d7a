"""Ending whatever a state directory says is running, without knowing the stack.

The last resort: for the watchdog, for a start that failed, for `down` after a crash.
"""

from __future__ import annotations

import signal

import psutil

from local.processes.layout import Layout, read_json
from local.processes.process import MARK, started_at, with_descendants

GONE_TIMEOUT_SECONDS = 10.0


def running_pids(layout: Layout) -> list[int]:
    """Pids of the processes started here that still run, by their pid files."""
    pids = []
    for file in sorted(layout.pids.glob("*.json")):
        kept = read_json(file)
        pid = kept.get("pid")
        if isinstance(pid, int) and started_at(pid) == kept.get("started_at"):
            pids.append(pid)
    return pids


def left_behind(layout: Layout) -> list[psutil.Process]:
    """Every process of this state directory that runs.

    Also those without a pid file: a postmaster, which has left Patroni's process tree,
    or one whose parent was killed before it wrote the file.
    """
    return with_descendants([*running_pids(layout), *_marked_pids(layout)])


def kill_all(layout: Layout) -> None:
    """SIGKILL them all and wait until they are gone."""
    found = left_behind(layout)
    for process in found:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=GONE_TIMEOUT_SECONDS)
    for file in layout.pids.glob("*.json"):
        file.unlink(missing_ok=True)


def _marked_pids(layout: Layout) -> list[int]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(layout.pids):
                marked.append(process.pid)
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
    return marked
