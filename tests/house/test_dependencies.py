"""What we depend on is looked at again, and something proposes newer versions of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.kube.offline.own_base import PYTHON, rebased
from local.kube.own_images import DOCKERFILES
from tests.house.tree import ROOT, files, text

WORKFLOWS = Path(".github/workflows")
LOCKS = [path for path in files() if path.suffix == ".lock"]
DEV_CONTAINER = Path(".devcontainer/Dockerfile")
PINNED = re.compile(r"FROM [\w./-]+:[\w.-]+@sha256:[0-9a-f]{64} AS base")


def read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / path).read_text())
    return found


def proposed(ecosystem: str) -> set[str]:
    """The folders in which a bot looks for newer versions of this kind."""
    updates = read(Path(".github/dependabot.yml"))["updates"]
    return {
        folder
        for update in updates
        if update["package-ecosystem"] == ecosystem
        for folder in update.get("directories", [update.get("directory")])
    }


def folders(name: str) -> set[str]:
    return {f"/{path.parent}" for path in files() if path.name == name}


def test_a_bot_proposes_newer_actions_images_and_jars() -> None:
    assert proposed("github-actions") == {"/"}
    assert proposed("docker") == folders("Dockerfile") != set()
    assert proposed("maven") == folders("pom.xml") != set()
    assert proposed("pip") == folders("java-runtime.txt") != set()


def test_newer_versions_of_the_locks_are_proposed_every_week() -> None:
    content = text(WORKFLOWS / "dependencies.yml") or ""
    # YAML takes the key `on` for a truth value.
    assert read(WORKFLOWS / "dependencies.yml")[True]["schedule"]
    assert "run: make lock ARGS=--upgrade" in content
    made, used = (content.index(part) for part in ("make lock", "secrets."))
    assert made < used, "what is installed for it must not see the key"


def test_what_is_deployed_is_scanned_again_every_day() -> None:
    scan = read(WORKFLOWS / "scan.yml")
    assert [each["cron"].split()[2:] for each in scan[True]["schedule"]] == [["*"] * 3]
    matrix = scan["jobs"]["deployed"]["strategy"]["matrix"]
    looked_at = {
        f"{each['folder']}/k8s/overlays/{environment}/kustomization.yaml"
        for environment in matrix["environment"]
        for each in matrix["include"]
        if each["part"] in matrix["part"]
    }
    has_digest = {
        str(path)
        for path in files()
        if path.name == "kustomization.yaml"
        if re.search(r"digest: sha256:", text(path) or "")
    }
    assert looked_at == has_digest


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_lock_is_scanned_again_every_day(lock: Path) -> None:
    steps = read(WORKFLOWS / "scan.yml")["jobs"]["locked"]["steps"]
    (said,) = (step["run"] for step in steps if "run" in step)
    assert "for lock in requirements*.lock " in said
    assert lock.match("requirements*.lock") and len(lock.parts) == 1


@pytest.mark.parametrize("path", DOCKERFILES.values(), ids=str)
def test_an_image_names_its_base_where_a_bot_reads_it(path: Path) -> None:
    first, *others = re.findall(r"(?m)^FROM .*$", text(path) or "")
    assert PINNED.fullmatch(first)
    assert {line.split()[1] for line in others} == {"base"}


def test_all_images_have_one_base() -> None:
    texts = [text(path) or "" for path in (*DOCKERFILES.values(), DEV_CONTAINER)]
    assert len({PINNED.findall(each)[0] for each in texts}) == 1


def test_where_no_base_can_be_pulled_it_is_one_of_ours() -> None:
    for path in DOCKERFILES.values():
        named = re.findall(r"(?m)^FROM (\S+)", rebased(text(path) or "", PYTHON))
        assert named == [PYTHON.image, "base", "base"]
