"""Small stacks of their own for the tests that start and stop them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from local.processes.errors import StackError
from local.processes.waiting import wait_until
from local.stack import StackConfig

ROOT = Path(__file__).parent.parent.parent
JARS = ROOT / ".local" / "jars"
WHAT_IT_TAKES = (
    *("Makefile", ".venv", "bin", "local", "once", "producers", "consumers", "avro"),
    *("postgres", "loadtest", "examples", "requirements-local.lock"),
)


class LeftOver:
    """Processes that name a directory in their command line, whoever started them."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)

    def now(self) -> list[str]:
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            command = " ".join(process.info["cmdline"] or [])
            if self._directory in command and process.info["status"] != "zombie":
                found.append(command)
        return found

    def after_a_moment(self) -> list[str]:
        """What is still there when a watchdog had time to do its work."""
        try:
            wait_until(
                lambda: not self.now(), what="nothing to be left", timeout_seconds=10
            )
        except StackError:
            pass
        return self.now()


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    """One broker, one Postgres, in a directory of this test's own."""
    return StackConfig(
        state_dir=tmp_path / "state", jars_dir=JARS, brokers=1, postgres=1
    )


@pytest.fixture
def left_over(config: StackConfig) -> LeftOver:
    return LeftOver(config.state_dir)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project, in a folder that pages may leave files in."""
    made = tmp_path / "once"
    made.mkdir()
    for name in WHAT_IT_TAKES:
        (made / name).symlink_to(ROOT / name)
    return made
