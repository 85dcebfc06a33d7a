"""The settings of each program, as its pydantic model has them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from consumers.bank.audit.settings import AuditSettings
from consumers.bank.replay.settings import ReplaySettings
from consumers.bank.settings import BankSettings
from consumers.console.settings import PeekSettings
from local.reference.blocks import Table, code, table
from once.doctor.settings import DoctorSettings
from producers.store.settings import ServeSettings, SmokeSettings, StoreSettings

KINDS: Mapping[str, type[BaseSettings]] = {
    "bank": BankSettings,
    "store emit": StoreSettings,
    "store serve": ServeSettings,
    "audit": AuditSettings,
    "replay": ReplaySettings,
    "smoke": SmokeSettings,
    "doctor": DoctorSettings,
    "peek": PeekSettings,
}
UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
HEADER = ("variable", "default", "")


def tables() -> dict[str, Table]:
    """Each program's table, as `settings NAME`."""
    return {f"settings {name}": partial(_table, kind) for name, kind in KINDS.items()}


def _table(kind: type[BaseSettings]) -> str:
    # What `serve` has from `emit` stands there.
    known = StoreSettings.model_fields if kind is ServeSettings else {}
    fields = {
        name: field
        for name, field in kind.model_fields.items()
        if name not in known or said(name, field) != said(name, known[name])
    }
    rows = [
        (code(variable(kind, name)), *said(name, field))
        for name, field in fields.items()
    ]
    return table(HEADER, rows)


def variable(kind: type[BaseSettings], name: str) -> str:
    """What it is called in the environment."""
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def said(name: str, field: FieldInfo) -> tuple[str, str]:
    """Its default and what it is."""
    default = _default(field)
    if "_bytes" in name:
        default += _size(field.default)
    return default, field.description or ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "computed"
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or field.default == "":
        return "none"
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return code(str(field.default))


def _size(value: int) -> str:
    for unit, size in UNITS:
        if value % size == 0:
            return f" ({value // size} {unit})"
    return ""
