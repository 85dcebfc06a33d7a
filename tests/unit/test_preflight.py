"""What an engine lacks for the cluster is said before anything is created in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local.kube import preflight, programs
from local.kube.docker import Docker
from local.kube.preflight import examine
from local.machine import GB, Finding, Level
from local.processes.errors import MissingPart, StackError

ENOUGH: dict[str, Any] = {
    "ServerVersion": "29.1.0",
    "OperatingSystem": "Debian GNU/Linux 12",
    "Architecture": "aarch64",
    "NCPU": 8,
    "MemTotal": 16 * GB,
    "DockerRootDir": "/on/another/machine",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH; nothing was built here, and no kernel looked at."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(preflight, "PROC", tmp_path / "proc")
    programs._of_the_machine.cache_clear()
    return folder


def put(folder: Path, name: str, says: str) -> Path:
    """A program that says this."""
    file = folder / name
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n")
    file.chmod(0o755)
    return file


def found(folder: Path, **other: Any) -> dict[str, Finding]:
    """What is said of an engine that is fine but for this, by check."""
    put(folder, "docker", json.dumps({**ENOUGH, **other}))
    return {each.check: each for each in examine(Docker(), ())}


def test_an_engine_that_has_enough_lacks_nothing(path: Path) -> None:
    checks = found(path)
    assert {each.level for each in checks.values()} == {Level.OK}
    assert "aarch64, 8 cores" in checks["engine"].found
    assert "disk" not in checks, "it lies on another machine"


@pytest.mark.parametrize(
    ("other", "check", "level", "says"),
    [
        ({"Architecture": "s390x"}, "engine", Level.LACKS, "x86-64 and arm64"),
        ({"NCPU": 2}, "engine", Level.NOTE, "2 cores"),
        ({"SecurityOptions": ["name=rootless"]}, "engine", Level.NOTE, "rootless"),
        ({"MemTotal": 4 * GB}, "memory", Level.LACKS, "give the engine more"),
        ({"MemTotal": 7 * GB}, "memory", Level.NOTE, "7.0 GB in all"),
    ],
)
def test_what_it_lacks_is_said_with_a_cure(
    path: Path, other: dict[str, Any], check: str, level: Level, says: str
) -> None:
    finding = found(path, **other)[check]
    assert finding.level is level and says in str(finding)


def test_a_full_disk_is_seen_where_the_disk_is_ours(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DISK_MIN", 1 << 60)
    monkeypatch.setattr(preflight, "DISK_ENOUGH", 1 << 61)
    finding = found(path, DockerRootDir=str(tmp_path))["disk"]
    assert finding.level is Level.LACKS and "docker system df" in finding.cure


def test_limits_of_our_own_kernel_are_looked_at(path: Path) -> None:
    folder = preflight.PROC / "fs/inotify"
    folder.mkdir(parents=True)
    (folder / "max_user_instances").write_text("128\n")
    (folder / "max_user_watches").write_text("600000\n")
    put(path, "docker", json.dumps(ENOUGH))
    said = [str(each) for each in examine(Docker(), ()) if each.check == "inotify"]
    assert "sysctl -w fs.inotify.max_user_instances=512" in said[0]
    assert said[1].startswith("ok")
    assert "inotify" not in found(path, OperatingSystem="Docker Desktop")


def test_an_engine_that_does_not_answer_is_an_error(path: Path) -> None:
    put(path, "docker", "").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(StackError, match="docker info"):
        list(examine(Docker(), ()))


@pytest.mark.parametrize(
    ("name", "says", "fits"),
    [
        ("kind", "0.33.0", True),
        ("kind", "0.29.0", False),
        ("kubectl", '{"clientVersion": {\n  "gitVersion": "v1.36.1"}}', True),
        ("kubectl", '{"clientVersion": {\n  "gitVersion": "v1.28.0"}}', False),
        ("kubectl", "no version at all", False),
    ],
)
def test_a_program_of_the_machine_will_do_when_it_is_new_enough(
    path: Path, name: str, says: str, fits: bool
) -> None:
    file = put(path, name, says)
    assert (programs.command(name) == file) is fits


def test_the_program_that_was_built_here_comes_first(path: Path) -> None:
    put(path, "kind", "0.33.0")
    built = programs.path("kind")
    built.parent.mkdir(parents=True)
    built.touch()
    assert programs.command("kind") == built


def test_without_it_and_without_go_a_sentence_says_both(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(MissingPart, match="kind 0.30 or newer is needed: .*Go 1.26"):
        programs.ensure_commands(["kind"], print)
