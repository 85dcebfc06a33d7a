"""Ending whatever a state directory says is running, without knowing the stack.

The last resort: for the watchdog, for a start that failed, for `down` after a crash.
"""

import signal

import psutil

from local.layout import Layout, read_json
from local.postmaster import find_postmaster
from local.process import started_at, with_descendants

GONE_TIMEOUT_S = 10.0


def running_pids(layout: Layout) -> list[int]:
    """Pids of the processes started here that still run."""
    pids = []
    for file in sorted(layout.pids.glob("*.json")):
        kept = read_json(file)
        pid = kept.get("pid")
        if isinstance(pid, int) and started_at(pid) == kept.get("started_at"):
            pids.append(pid)
    return pids


def left_behind(layout: Layout) -> list[psutil.Process]:
    """Every process of this state directory that runs, parents before children."""
    pids = running_pids(layout)
    for data in layout.all_data.glob("postgres-*/data"):
        pids += [server.pid for server in find_postmaster(data)]
    return with_descendants(pids)


def kill_all(layout: Layout) -> None:
    """SIGKILL them all and wait until they are gone."""
    found = left_behind(layout)
    for process in found:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=GONE_TIMEOUT_S)
    for file in layout.pids.glob("*.json"):
        file.unlink(missing_ok=True)
