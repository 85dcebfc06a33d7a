"""A missing part is named in one sentence, and half a download is no part."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from local.processes.errors import MissingPart
from local.processes.waiting import Cancelled, Patience
from local.stack import parts
from tests.stack.conftest import JARS


def fake(directory: Path, name: str, script: str) -> None:
    """Put a program of that name first in the path."""
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "programs"
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """A jars directory that has Java but nothing else."""
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "java").symlink_to(JARS / "java")
    return jars


def test_a_failed_download_says_what_and_why(programs: Path, jars: Path) -> None:
    fake(programs, "mvn", "echo 'no route to the repository'; exit 1")
    expected = r"cannot fetch the Kafka jars \(Maven\): mvn said 'no route to the rep"
    with pytest.raises(MissingPart, match=expected):
        parts.find_or_fetch(jars, lambda _: None)
    assert [path.name for path in jars.iterdir()] == ["java"]


def test_a_fetch_that_hangs_ends_with_the_start(programs: Path, jars: Path) -> None:
    fake(programs, "mvn", "exec sleep 60")
    patience = Patience()
    threading.Timer(0.3, patience.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        parts.fetch(jars, patience, lambda _: None)
    assert time.monotonic() - began < 10
    assert [path.name for path in jars.iterdir()] == ["java"]


def test_an_old_postgres_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9.6", "14", "15", "16"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    monkeypatch.setattr(parts, "POSTGRES_ROOT", tmp_path)
    assert parts.postgres_versions() == [15, 16]
