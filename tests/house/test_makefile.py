"""The targets do what their order says, on any machine that has make."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT

TWO = """
.PHONY: slow quick
slow: ; @sleep 0.3; echo slow
quick: ; @echo quick
settings: ; @env
"""


def make(folder: Path, *targets: str, **environment: str) -> str:
    more = folder / "more.mk"
    more.write_text(TWO)
    return subprocess.check_output(
        ["make", "--no-print-directory", "-f", "Makefile", "-f", str(more), *targets],
        cwd=ROOT,
        env={**os.environ, "MAKELEVEL": "0", "MAKEFLAGS": "", **environment},
        text=True,
    )


def test_targets_are_made_one_after_the_other_whatever_makeflags_says(
    tmp_path: Path,
) -> None:
    assert make(tmp_path, "slow", "quick", MAKEFLAGS="-j8").split() == ["slow", "quick"]


def test_settings_of_pip_do_not_say_where_our_packages_go(tmp_path: Path) -> None:
    theirs = {
        "PIP_USER": "1",
        "PIP_TARGET": "/elsewhere",
        "PIP_CONSTRAINT": "/none",
        "PIP_REQUIRE_HASHES": "1",
        "PIP_NO_BINARY": ":all:",
        "PYTHONPATH": "/elsewhere",
        "PIP_INDEX_URL": "https://mirror.example/simple",
    }
    said = make(tmp_path, "settings", **theirs).splitlines()
    found = dict(line.split("=", 1) for line in said if line.split("=")[0] in theirs)
    assert found == {"PIP_USER": "0", "PIP_INDEX_URL": theirs["PIP_INDEX_URL"]}


@pytest.mark.parametrize("target", ["up", "demo", "store", "test-fast"])
def test_what_runs_the_platform_does_not_wait_for_what_checks_it(target: str) -> None:
    said = subprocess.check_output(
        ["make", "--no-print-directory", "-n", "-B", target], cwd=ROOT, text=True
    )
    checks = "-r requirements.lock" in said
    assert checks == (target == "test-fast")


def test_a_push_needs_no_go_and_no_kubernetes() -> None:
    said = subprocess.check_output(
        ["make", "--no-print-directory", "-n", "test"], cwd=ROOT, text=True
    )
    for word in (
        "go install",
        "local.kube",
        "local kind",
        "prerequisites go",
        "tests/manifests",
    ):
        assert word not in said


def test_help_shows_every_target_once_and_those_of_users_first() -> None:
    said = subprocess.check_output(
        ["make", "--no-print-directory", "help"], cwd=ROOT, text=True
    )
    lines = [line.split(None, 1) for line in said.splitlines() if line[0] == " "]
    assert [line for line in lines if len(line) < 2] == [], "no such target"
    shown = [name.replace("...", "%") for name, _ in lines]
    documented = re.findall(
        r"^([a-z%-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert sorted(shown) == sorted(documented)
    assert said.index("  demo") < said.index("Develop") < said.index("  lock")
