"""Who runs the databases has their files, and no right more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes.errors import MissingPart, StackError
from local.processes.privileges import (
    Servant,
    make_servant,
    python_files,
    python_folders,
)
from local.stack.postmaster import find_postmaster

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a servant")


def run(servant: Servant, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        servant.command(list(command)),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that only its owner may enter, with a secret and a state folder."""
    (tmp_path / "state").mkdir()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "secret").chmod(0o644)
    tmp_path.chmod(0o700)
    return tmp_path


def servant_of(state: Path) -> Servant:
    return make_servant([state], [state, *python_folders()], python_files())


def test_who_is_not_root_runs_the_database_as_themselves() -> None:
    command = ["postgres", "-D", "data"]
    assert Servant(None, 1000, 1000).command(command) == command


@needs_root
def test_root_gives_the_database_to_somebody_without_any_capability(
    closed: Path,
) -> None:
    status = run(servant_of(closed / "state"), "cat", "/proc/self/status").stdout
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in said["Uid"].split()
    assert said["Groups"].split() == []
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(said[kind], 16) == 0, kind
    assert said["NoNewPrivs"] == "1"


@needs_root
def test_a_folder_behind_a_closed_one_is_shown_and_nothing_beside_it(
    closed: Path,
) -> None:
    servant = servant_of(closed / "state")
    own = closed / "state" / "own"
    servant.own(own)
    servant.write(own / "file", b"its own")
    assert run(servant, "cat", str(own / "file")).stdout == "its own"
    assert run(servant, "touch", str(own / "new")).returncode == 0
    assert (own / "new").stat().st_uid == servant.uid
    assert run(servant, "cat", str(closed / "secret")).returncode != 0
    # Not even the names: of all that is there it sees the one way.
    assert run(servant, "ls", str(closed)).stdout.split() == ["state"]
    patroni = run(servant, sys.executable, "-c", "import patroni, psycopg, ssl")
    assert patroni.returncode == 0, patroni.stderr


@needs_root
def test_its_state_folder_is_closed_to_everybody_else(closed: Path) -> None:
    state = closed / "state"
    state.chmod(0o777)
    servant = servant_of(state)
    found = state.stat()
    assert found.st_mode & 0o777 == 0o710
    assert (found.st_uid, found.st_gid) == (os.geteuid(), servant.gid)


@needs_root
def test_what_it_may_not_read_is_named_with_what_to_do(closed: Path) -> None:
    file = closed / "state" / "patroni.py"
    file.touch(mode=0o600)
    state = closed / "state"
    with pytest.raises(MissingPart, match=f"cannot read {file}: move the checkout"):
        make_servant([state], [state], [file])


@needs_root
def test_root_follows_no_link_in_a_folder_of_the_servant(closed: Path) -> None:
    servant = servant_of(closed / "state")
    home, secret = closed / "state" / "own", closed / "secret"
    servant.own(home)
    (home / "patroni.json").symlink_to(secret)
    servant.write(home / "patroni.json", b"settings")
    assert secret.read_text() == "mine" and secret.stat().st_uid == 0
    assert not (home / "patroni.json").is_symlink()
    assert (home / "patroni.json").stat().st_uid == servant.uid
    (home / "data").symlink_to(closed)  # its data would be root's folder
    writes: list[Callable[[], None]] = [
        lambda: servant.write(home / "data" / "secret", b"yours"),
        lambda: servant.own(home / "data"),
    ]
    for write in writes:
        with pytest.raises(StackError, match="is a link or no folder"):
            write()
    assert secret.read_text() == "mine" and closed.stat().st_uid == 0


def test_a_pid_file_that_is_a_trap_names_nobody(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(f"{os.getpid()}\n")
    (tmp_path / "postmaster.pid").symlink_to(elsewhere)
    assert find_postmaster(tmp_path) == []
    (tmp_path / "postmaster.pid").unlink()
    os.mkfifo(tmp_path / "postmaster.pid")
    assert find_postmaster(tmp_path) == []
