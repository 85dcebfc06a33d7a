"""What the images are made of, reported and bounded."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from local.kube.docker import Docker
from tests.fix_stack import ROOT
from tests.images.engine import Engine
from tests.images.programs import Images

REPORT = ROOT / "build" / "reports" / "images.json"
BYTES_MAX = 400_000_000
LAYERS_OF_OURS_MAX = 3
COMPILERS = re.compile(r"/s?bin/(cc|gcc|g\+\+|c\+\+|clang|ld|as|make|cargo|go)(-\d+)?$")
INSTALLERS = re.compile(r"^app/(pip|ensurepip|setuptools|wheel|bin/pip3?)(/|$)")
TESTS = re.compile(r"^app/(tests|conftest\.py|(once|producers|consumers)/.*test_)")
FOREIGN = re.compile(r"^(wheels|work|src)/|(^|/)\.git/|(^|/)requirements[^/]*\.lock$")


@pytest.fixture(scope="module")
def files(engine: Engine, images: Images) -> dict[str, tarfile.TarInfo]:
    """All that lies in the Bank's image, by path; the Store's has the same layers."""
    container = engine.docker.run("create", images.bank).strip()
    try:
        return {file.name: file for file in _exported(engine.docker, container)}
    finally:
        engine.docker.run("rm", container)


def test_size_and_layers_are_reported_and_bounded(
    engine: Engine, images: Images
) -> None:
    report = {
        name.partition(":")[0]: _described(engine.docker, name)
        for name in (images.store, images.bank)
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    for name, found in report.items():
        assert found["bytes"] < BYTES_MAX, name
        ours = [step for step in found["steps"] if "/app" in step["by"]]
        assert 0 < len(ours) <= LAYERS_OF_OURS_MAX


def test_both_images_differ_in_what_they_start_and_in_nothing_else(
    engine: Engine, images: Images
) -> None:
    store, bank = (
        json.loads(engine.docker.run("image", "inspect", name))[0]
        for name in (images.store, images.bank)
    )
    assert store["RootFS"]["Layers"] == bank["RootFS"]["Layers"]
    assert store["Config"]["Entrypoint"] != bank["Config"]["Entrypoint"]
    for same in ("Env", "User", "WorkingDir"):
        assert store["Config"][same] == bank["Config"][same]


def test_no_file_is_of_a_compiler_an_installer_or_a_test(
    files: dict[str, tarfile.TarInfo],
) -> None:
    for wrong in (COMPILERS, INSTALLERS, TESTS, FOREIGN):
        assert not [name for name in files if wrong.search(name)], wrong.pattern


def test_what_the_programs_need_is_there(files: dict[str, tarfile.TarInfo]) -> None:
    for name in (
        "app/once/_data/avro/transfer.avsc",
        "app/once/_data/postgres/asserted/rights.sql",
        "app/once/_data/postgres/checks/accounts.sql",
        "app/once/_data/postgres/migrations/0001_ledger.sql",
        "app/producers/store/service.py",
        "app/consumers/bank/worker.py",
        "app/consumers/bank/audit/__main__.py",
    ):
        assert name in files


def test_what_is_run_is_compiled_and_nobody_but_root_may_change_it(
    files: dict[str, tarfile.TarInfo],
) -> None:
    app = {name: file for name, file in files.items() if name.startswith("app/")}
    assert any("once/__pycache__/errors.cpython-" in name for name in app)
    changeable = [
        name
        for name, file in app.items()
        if file.uid or file.gid or (file.mode & 0o022 and not file.issym())
    ]
    assert not changeable


def _described(docker: Docker, name: str) -> dict[str, Any]:
    """Its size, its layers, and what each step of its making added."""
    (found,) = json.loads(docker.run("image", "inspect", name))
    form = "{{json .}}"
    told = docker.run("history", "--no-trunc", "--human=false", "--format", form, name)
    steps = [json.loads(line) for line in told.splitlines()]
    return {
        "name": name,
        "bytes": found["Size"],
        "layers": found["RootFS"]["Layers"],
        "steps": [
            {"bytes": int(step["Size"]), "by": step["CreatedBy"]}
            for step in reversed(steps)
        ],
    }


def _exported(docker: Docker, container: str) -> Iterator[tarfile.TarInfo]:
    command = ["docker", "export", container]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield from archive
        process.stdout.read()
