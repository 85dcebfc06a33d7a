"""A program is told its own settings, and no password of another one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local.platform import Program
from local.platform.environments import for_program

ALL = {
    "PATH": "/bin",
    "ONCE_SECRETS_DIR": "/s",
    "ONCE_MIGRATOR_CONNINFO": "m",
    "ONCE_TOPIC": "t",
    "BANK_CONNINFO": "b",
    "BANK_TOPIC": "t",
    "AUDIT_CONNINFO": "a",
    "STORE_TOPIC": "t",
    "PEEK_REGISTRY_URL": "r",
    "SMOKE_TOKEN": "s",
}
MIGRATOR = "ONCE_MIGRATOR_CONNINFO"


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("producers.store serve", {"STORE_TOPIC"}),
        ("producers.store emit --count 3", {"STORE_TOPIC"}),
        ("producers.store smoke", {"SMOKE_TOKEN"}),
        ("consumers.bank run --workers 2", {"BANK_CONNINFO", "BANK_TOPIC"}),
        ("producers.store open-accounts --count 3", {"STORE_TOPIC"}),
        ("consumers.bank quarantine list", {"BANK_TOPIC", MIGRATOR}),
        ("consumers.bank.audit", {"AUDIT_CONNINFO"}),
        ("consumers.console peek transfers", {"PEEK_REGISTRY_URL"}),
        ("once migrate", {MIGRATOR, "ONCE_TOPIC"}),
        ("once doctor", {MIGRATOR, "ONCE_TOPIC"}),
        ("once topics a=1", {"ONCE_TOPIC"}),
        ("once register a=b", {"ONCE_TOPIC"}),
    ],
)
def test_a_program_gets_its_own_settings_only(command: str, own: set[str]) -> None:
    found = set(for_program(command.split(), ALL))
    assert found == own | {"PATH", "ONCE_SECRETS_DIR"}


def test_what_is_none_of_our_programs_gets_all() -> None:
    assert for_program(["json.tool"], ALL) == ALL


def test_a_started_program_inherits_no_password_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment that the kernel shows, and what it writes is private."""
    monkeypatch.setenv("AUDIT_CONNINFO", "inherited")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = tmp_path / "told"
    (tmp_path / "sitecustomize.py").write_text(
        f"import json, os\nopen({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    )
    log = tmp_path / "store.log"
    with Program(["producers.store", "--help"], ALL | os.environ, log) as program:
        assert program.process.wait(60) == 0, program.text
    found = json.loads(told.read_text())
    assert found["STORE_TOPIC"] == "t"
    assert not [name for name in found if name.endswith("CONNINFO")]
    assert [each.stat().st_mode & 0o777 for each in (told, log)] == [0o600, 0o600]
