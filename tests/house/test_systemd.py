"""The units of examples/systemd start our programs with settings that they have."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_runbooks import settings
from tests.house.tree import ROOT, files

UNITS = [path for path in files() if path.parts[:2] == ("examples", "systemd")]
ENVIRONMENTS = [path for path in UNITS if path.suffix == ".env"]
# Of libpq, and those that no program loads by a class of settings.
OTHERS = {"PGSSLMODE", "PGSSLROOTCERT", "ONCE_SECRETS_DIR"}


def given(path: Path) -> Iterator[tuple[str, str]]:
    for line in (ROOT / path).read_text().splitlines():
        if line and not line.startswith("#"):
            (word,) = shlex.split(line)
            name, _, value = word.partition("=")
            yield name, value


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=str)
def test_every_setting_is_one(path: Path) -> None:
    known = {*settings(), *OTHERS}
    assert [name for name, _ in given(path) if name not in known] == []
    for name, value in given(path):
        if name.endswith("_KAFKA"):
            assert json.loads(value)["security.protocol"] == "SSL"


def test_every_unit_gets_its_settings_and_no_restart_where_a_person_must_act() -> None:
    services = [path for path in UNITS if path.suffix == ".service"]
    ours = [path for path in services if "@" not in path.name]
    assert len(ours) == 3
    for path in ours:
        unit = (ROOT / path).read_text()
        name = path.stem.removeprefix("once-")
        assert f"EnvironmentFile=/etc/once/{name}.env" in unit
        assert path.parent / f"{name}.env" in ENVIRONMENTS
        never = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
        assert never is not None and {"65", "78"} <= set(never[1].split())
