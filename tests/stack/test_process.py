"""A process is known by its pid file, and only the right one is ever signalled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.processes.errors import StackError
from local.processes.layout import Layout, read_json, write_json
from local.processes.process import ManagedProcess, ProcessSpec, started_at
from local.processes.sweep import kill_all
from local.processes.waiting import Cancelled, Patience, wait_until

Make = Callable[..., ManagedProcess]
SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); signal.pause(); signal.pause()",
]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.create()
    return layout


@pytest.fixture
def make(layout: Layout) -> Iterator[Make]:
    def make(command: list[str], stop_timeout_seconds: float = 5.0) -> ManagedProcess:
        return ManagedProcess(
            ProcessSpec(
                name="one",
                command=command,
                directory=layout.data("one"),
                log=layout.log("one"),
                pid_file=layout.pids / "one.json",
                stop_timeout_seconds=stop_timeout_seconds,
            )
        )

    yield make
    kill_all(layout)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_another_hand_finds_and_ends_it_by_its_pid_file(make: Make) -> None:
    make(SLEEP).start()
    other = make(SLEEP)
    assert other.is_running()
    other.terminate()
    assert not other.is_running()


def test_starting_twice_starts_one(make: Make) -> None:
    process = make(SLEEP)
    process.start()
    first = process.pid
    process.start()
    assert process.pid == first


def test_a_reused_pid_is_not_ours(
    make: Make, layout: Layout, stranger: subprocess.Popen[bytes]
) -> None:
    process = make(SLEEP)
    process.start()
    kept = read_json(process.spec.pid_file)
    process.kill()
    # As if the kernel had given our pid to the stranger, who started later.
    write_json(
        process.spec.pid_file,
        {"pid": stranger.pid, "started_at": kept["started_at"] + "0"},
    )
    assert not process.is_running()
    process.kill()
    process.terminate()
    kill_all(layout)
    assert stranger.poll() is None


def test_one_without_a_pid_file_is_still_found_and_ended(
    make: Make, layout: Layout
) -> None:
    process = make(SLEEP)
    process.start()
    pid = process.pid
    assert pid is not None
    process.spec.pid_file.unlink()
    kill_all(layout)
    assert started_at(pid) is None


def test_one_that_ignores_the_polite_signal_is_killed(make: Make) -> None:
    process = make(STUBBORN, stop_timeout_seconds=0.3)
    process.start()
    wait_until(
        lambda: "ready" in process.spec.log.read_text(), what="it", timeout_seconds=10
    )
    process.terminate()
    assert not process.is_running()


def test_a_kill_reaches_the_children(make: Make) -> None:
    spawn = f"import subprocess; subprocess.run({SLEEP!r})"
    process = make([sys.executable, "-c", spawn])
    process.start()
    wait_until(lambda: len(process.family()) == 2, what="the child", timeout_seconds=10)
    family = process.family()
    process.kill()
    assert [member.pid for member in family if started_at(member.pid)] == []


def test_a_paused_one_runs_but_does_nothing_until_resumed(make: Make) -> None:
    process = make(SLEEP)
    process.start()
    process.pause()
    assert process.pid is not None
    kernel = psutil.Process(process.pid)
    wait_until(
        lambda: kernel.status() == psutil.STATUS_STOPPED,
        what="the pause",
        timeout_seconds=5,
    )
    assert process.is_running()
    process.resume()
    wait_until(
        lambda: kernel.status() != psutil.STATUS_STOPPED,
        what="its end",
        timeout_seconds=5,
    )


def test_one_that_stops_by_itself_is_reported_with_its_last_words(make: Make) -> None:
    process = make([sys.executable, "-c", "print('no more disk')"])
    process.start()
    wait_until(lambda: not process.is_running(), what="its end", timeout_seconds=10)
    with pytest.raises(StackError, match="one stopped by itself: no more disk"):
        process.require_running()


def test_a_wait_ends_at_its_deadline_and_says_for_what() -> None:
    with pytest.raises(StackError, match="waiting for the moon"):
        wait_until(lambda: False, what="the moon", timeout_seconds=0.01)


def test_a_cancelled_wait_ends_at_once() -> None:
    patience = Patience()
    patience.cancel()
    with pytest.raises(Cancelled):
        wait_until(
            lambda: False, what="the moon", timeout_seconds=60, patience=patience
        )
