""".ci/run says how long each of its steps took, and which one failed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.house.tree import ROOT

MAKE = """#!/bin/bash
echo "$*" >>asked
case "$*" in *" down"*) exit 2 ;; *"$FAILS") exit 3 ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with this script and a make that only writes down what it is asked."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "make").write_text(MAKE)
    (programs / "make").chmod(0o755)
    return tmp_path


def run(checkout: Path, *steps: str, fails: str = "nothing") -> tuple[int, Any]:
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [".ci/run", *steps],
        cwd=checkout,
        env={**os.environ, "PATH": path, "FAILS": fails},
        capture_output=True,
        check=False,
    )
    report = checkout / "build" / "reports" / "ci.json"
    return done.returncode, json.loads(report.read_text())


def test_every_step_is_timed(checkout: Path) -> None:
    status, report = run(checkout)
    assert status == 0
    steps = [each["step"] for each in report["steps"]]
    assert steps[:6] == ["environment", "parts", "test", "fuzz", "programs", "kube"]
    assert all(each["seconds"] >= 0 for each in report["steps"])
    assert report["failed"] == ""
    asked = (checkout / "asked").read_text()
    for target in ("test", "test-kube", *(["test-kind"] if os.geteuid() == 0 else [])):
        assert f" {target}\n" in asked


def test_the_step_that_fails_is_the_last_and_is_named(checkout: Path) -> None:
    status, report = run(checkout, fails=" fuzz")
    assert status == 3
    assert report["failed"] == "fuzz"
    assert [each["step"] for each in report["steps"]][-1] == "test"


def test_one_step_alone_can_be_asked_for(checkout: Path) -> None:
    _, report = run(checkout, "kube")
    assert [each["step"] for each in report["steps"]] == ["kube"]
