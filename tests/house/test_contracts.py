"""The import contracts of pyproject.toml catch what they are there to catch."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import PRODUCT, ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
ROOMS = (
    "producers/store",
    "consumers/bank",
    "local/kube",
    "local/kube/offline",
    "local/platform",
    "local/processes",
    "local/reference",
    "local/stack",
)
AUDITED = tuple(
    f"consumers/bank/{name}"
    for name in ("audit", "posting", "rules", "account_rules", "changing")
)


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"],
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
    )


def layered(pyproject: Path) -> list[str]:
    """The modules that a contract puts in layers, but for those that may be missing."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return [
        f"{room}.{layer}".replace(".", "/")
        for contract in contracts
        for room in contract.get("containers", ())
        for layer in contract["layers"]
        if not layer.startswith("(")
    ]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty house with our contracts: the packages, without their modules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in (*PRODUCT, *ROOMS, *AUDITED, *layered(tmp_path / "pyproject.toml")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
    return tmp_path


def test_an_empty_house_breaks_no_contract(house: Path) -> None:
    done = lint(house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("once", "import consumers.bank"),
        ("once", "from producers import store"),
        ("once", "import local"),
        ("once", "import tests.fix_stack"),
        ("producers/store", "from consumers import bank"),
        ("consumers/bank", "import producers.store"),
        ("consumers/bank", "import local"),
        ("consumers/bank/audit", "from consumers.bank import posting"),
        ("consumers/bank/audit", "from consumers.bank.rules import decide"),
        ("producers/store", "import loadtest"),
        ("local", "import tests.fix_stack"),
        ("local/platform", "from local import kube"),
        ("local/reference", "import local.kube"),
        ("local/stack", "import local.platform"),
        ("local/processes", "import local.stack"),
        ("consumers/bank/posting", "from consumers.bank import session"),
        ("producers/store/intake", "from producers.store import api"),
        ("loadtest", "from tests import fix_stack"),
    ],
)
def test_a_forbidden_import_breaks_one(house: Path, place: str, line: str) -> None:
    (house / place / "planted.py").write_text(f"def later():\n    {line}\n")
    done = lint(house)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


@pytest.mark.parametrize(
    "planted",
    [
        {"site": "import local.kube.offline"},
        {
            "one": "import local.kube.offline.two",
            "offline/two": "import local.kube.one",
        },
    ],
    ids=["an arrow up", "a circle"],
)
def test_within_a_room_too(house: Path, planted: dict[str, str]) -> None:
    for name, line in planted.items():
        (house / "local" / "kube" / f"{name}.py").write_text(f"{line}\n")
    done = lint(house)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
