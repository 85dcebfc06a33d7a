"""Every setting that a program reads is in docs/operations.md, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from consumers.bank.audit.run import AuditSettings
from consumers.bank.settings import BankSettings
from consumers.console.settings import PeekSettings
from once.doctor.settings import DoctorSettings
from producers.store.settings import ServeSettings, SmokeSettings, StoreSettings
from tests.house.tree import ROOT

KINDS: list[type[BaseSettings]] = [
    AuditSettings,
    BankSettings,
    DoctorSettings,
    PeekSettings,
    ServeSettings,
    SmokeSettings,
    StoreSettings,
]
ROWS = [
    line
    for line in (ROOT / "docs/operations.md").read_text().splitlines()
    if line.startswith("| `")
]


def rows_of(setting: str) -> list[str]:
    return [row for row in ROWS if f"`{setting}`" in row]


def spellings(default: object) -> Iterator[str]:
    """The ways in which a default may be written."""
    yield str(default).lower() if isinstance(default, bool) else str(default)
    if isinstance(default, int):
        for unit, size in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)):
            if default % size == 0:
                yield f"{default // size} {unit}"


def says(row: str, field: FieldInfo) -> bool:
    """Whether the row has the default; a required or computed one is in words."""
    default = field.default
    if default in (PydanticUndefined, None, "") or isinstance(default, dict):
        return True
    cells = row.split("|", 3)[2] if row.count("|") > 3 else row
    return any(
        re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.]\w)", cells)
        for text in spellings(default)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_setting_is_documented_with_its_default(
    kind: type[BaseSettings],
) -> None:
    prefix = kind.model_config.get("env_prefix", "")
    missing, different = [], []
    for name, field in kind.model_fields.items():
        setting = f"{prefix}{name}".upper()
        rows = rows_of(setting)
        if not rows:
            missing.append(setting)
        elif not any(says(row, field) for row in rows):
            different.append(f"{setting} is {field.default!r}, not: {rows}")
    assert not missing, f"in no table of docs/operations.md: {missing}"
    assert not different, different


def test_another_default_is_noticed() -> None:
    row = "| `BANK_DRAIN_SECONDS_MAX` | 8.0 | publish before giving up |"
    assert says(row, FieldInfo(default=8.0))
    assert not says(row, FieldInfo(default=18.0))
    assert not says(row, FieldInfo(default=8.05))
    assert says("| `A`, `B` | 16 KiB, 64 MiB | |", FieldInfo(default=64 << 20))


def test_no_setting_is_documented_that_nobody_reads() -> None:
    known = {
        f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        for kind in KINDS
        for name in kind.model_fields
    }
    named = {
        setting
        for row in ROWS
        for setting in re.findall(
            r"`((?:AUDIT|BANK|PEEK|SMOKE|STORE)_[A-Z_]+)`", row.split("|")[1]
        )
    }
    assert named and named <= known, f"nobody reads {sorted(named - known)}"
