"""One program of the stack: started, watched, paused, ended.

A process is known by a pid file, not by a handle, so that the command line, a test
and the watchdog can each take over from the one who started it. The file remembers
when the process started: a pid that the kernel gave to somebody else since then is
never signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local.processes.errors import StackError
from local.processes.files import UMASK, private
from local.processes.layout import read_json, write_json
from local.processes.waiting import wait_until

# Every process of a stack carries the path of its pid files in its environment, and
# so do its children: whatever else is lost, this tells whose a process is.
MARK = "ONCE_STACK"
STOP_TIMEOUT_SECONDS = 20.0
KILL_TIMEOUT_SECONDS = 10.0
LOG_TAIL_LINES = 3


def _nobody() -> list[psutil.Process]:
    return []


@dataclass(frozen=True)
class ProcessSpec:
    """How to run one program."""

    name: str
    command: list[str]
    directory: Path
    log: Path
    pid_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = STOP_TIMEOUT_SECONDS
    # Processes that belong to this one without being its descendants: a postmaster
    # leaves Patroni's tree, but a dead node has neither.
    relatives: Callable[[], list[psutil.Process]] = _nobody


def started_at(pid: int) -> str | None:
    """Which process `pid` is now: boot and kernel ticks at start; None when gone.

    Ticks since boot, not wall time, so that setting the clock changes nothing.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    if state in "ZX":
        _reap(pid)
        return None
    return f"{boot.strip()}/{ticks}"


def _reap(pid: int) -> None:
    """Let the kernel forget a dead process, if it was our child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


class ManagedProcess:
    """One program of a running or stopped stack."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        kept = read_json(self.spec.pid_file)
        pid = kept.get("pid")
        if not isinstance(pid, int) or started_at(pid) != kept.get("started_at"):
            return None
        return pid

    def is_running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Start it; nothing when it runs. Its output is appended to its log."""
        if self.is_running():
            return
        self.spec.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        inherited = {
            name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ
        }
        with open(self.spec.log, "ab", opener=private) as log:
            child = subprocess.Popen(
                self.spec.command,
                cwd=self.spec.directory,
                env={**inherited, **self.spec.environment, **self._mark()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for us to handle, not for the servers.
                start_new_session=True,
                umask=UMASK,
            )
        # It may outlive this object on purpose: Python shall not warn of that.
        child.returncode = 0
        identity = started_at(child.pid)
        write_json(self.spec.pid_file, {"pid": child.pid, "started_at": identity})

    def _mark(self) -> dict[str, str]:
        return {MARK: str(self.spec.pid_file.parent)}

    def require_running(self) -> None:
        """Raises StackError with the end of its log when it does not run."""
        if not self.is_running():
            raise StackError(f"{self.name} stopped by itself: {self.log_tail()}")

    def log_tail(self) -> str:
        try:
            text = self.spec.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "it wrote no log."
        lines = [line for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-LOG_TAIL_LINES:]) + f" (see {self.spec.log})"

    def family(self) -> list[psutil.Process]:
        """It, its descendants and its relatives: all that dies when the node dies."""
        members: list[psutil.Process] = []
        pid = self.pid
        if pid is not None:
            members += with_descendants([pid])
        members += with_descendants(relative.pid for relative in self.spec.relatives())
        return members

    def memory_bytes(self) -> int:
        """Memory of the whole family, shared pages counted once (PSS)."""
        return sum(_proportional_bytes(member) for member in self.family())

    def kill(self) -> None:
        """SIGKILL the whole family, as a power cut would, and wait until it is gone."""
        family = self.family()
        _signal(family, signal.SIGKILL)
        self._wait_gone(family, KILL_TIMEOUT_SECONDS)
        self.spec.pid_file.unlink(missing_ok=True)

    def kill_main(self) -> None:
        """SIGKILL it alone; its relatives live on. For an orderly stop of a node."""
        pid = self.pid
        if pid is not None:
            main = [psutil.Process(pid)]
            _signal(main, signal.SIGKILL)
            self._wait_gone(main, KILL_TIMEOUT_SECONDS)

    def ask_to_stop(self) -> None:
        """Send the signal it stops at, without waiting."""
        self.resume()
        pid = self.pid
        if pid is not None:
            _signal([psutil.Process(pid)], self.spec.stop_signal)

    def terminate(self) -> None:
        """Ask it to stop, wait until it has; SIGKILL what is left at the deadline."""
        family = self.family()
        self.ask_to_stop()
        try:
            self._wait_gone(family, self.spec.stop_timeout_seconds)
        except StackError:
            self.kill()
        self.spec.pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """SIGSTOP: alive for the kernel, silent for everyone else."""
        _signal(self.family(), signal.SIGSTOP)

    def resume(self) -> None:
        _signal(self.family(), signal.SIGCONT)

    def _wait_gone(self, family: list[psutil.Process], timeout_seconds: float) -> None:
        pids = [(member.pid, started_at(member.pid)) for member in family]

        def gone() -> bool:
            return all(seen is None or started_at(pid) != seen for pid, seen in pids)

        wait_until(
            gone,
            what=f"{self.name} to end",
            timeout_seconds=timeout_seconds,
            interval_seconds=0.02,
        )


def with_descendants(pids: Iterable[int]) -> list[psutil.Process]:
    members: list[psutil.Process] = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            members += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return members


def _signal(members: list[psutil.Process], number: signal.Signals) -> None:
    for member in members:
        try:
            # psutil compares the start time first: it refuses a reused pid.
            member.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def kill_after(
    ended: Callable[[], bool],
    processes: Iterable[ManagedProcess],
    *,
    what: str,
    timeout_seconds: float,
) -> None:
    """Wait until they have ended what they were asked to; then nothing is lost.

    Without anybody's patience: a cancelled start, too, waits for its end.
    """
    with suppress(StackError):  # what follows is harder
        wait_until(ended, what=what, timeout_seconds=timeout_seconds)
    for process in processes:
        process.kill()
