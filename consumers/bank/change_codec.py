"""From an Avro record to a change of an account, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastavro.read import SchemaResolutionError

from consumers.bank.change import Asked, Change

RECORD = "AccountChange"
REASON_BYTES_MAX = 140
CHANGED_BY_BYTES_MAX = 1_020  # 255 letters
INT64_MAX = 2**63 - 1
UUID_BYTES = 16
NIL = bytes(UUID_BYTES)
STATUSES = {"OPEN": "open", "FROZEN": "frozen", "CLOSED": "closed"}

_CURRENCY = re.compile(rb"[A-Z]{3}")
# What may be missing in another version of the schema.
_DEFAULTS: dict[str, Any] = {
    "must_be_new": False,
    "currency": None,
    "credit_limit": None,
    "status": None,
    "reason": "",
    "changed_by": "",
    "emitter": None,
    "emitter_sequence": 0,
}
_TYPES: dict[str, tuple[type, ...]] = {
    "change_id": (bytes,),
    "account": (int,),
    "must_be_new": (bool,),
    "currency": (bytes, type(None)),
    "credit_limit": (int, type(None)),
    "status": (str, type(None)),
    "reason": (str,),
    "changed_by": (str,),
    "created_at_ms": (int,),
    "emitter": (bytes, type(None)),
    "emitter_sequence": (int,),
}


class Read(NamedTuple):
    """A change, who sent it, and what is wrong with its form, if anything."""

    change: Change
    emitter: bytes | None
    emitter_sequence: int
    wrong: str | None


def is_change(writer: Mapping[str, Any]) -> bool:
    """Whether records of this schema change accounts."""
    return str(writer["name"]).rpartition(".")[2] == RECORD


def read_change(there: Mapping[str, Any]) -> Read:
    """A change out of a record's fields. Raises SchemaResolutionError, ValueError."""
    found = {name: _typed(name, there) for name in _TYPES}
    currency = found["currency"]
    asked = Asked(
        account=found["account"],
        must_be_new=found["must_be_new"],
        currency=None if currency is None else currency.decode("latin-1"),
        credit_limit=found["credit_limit"],
        status=STATUSES.get(found["status"], found["status"]),
        reason=found["reason"],
        changed_by=found["changed_by"],
    )
    change = Change(found["change_id"], asked, found["created_at_ms"])
    return Read(
        change, found["emitter"], found["emitter_sequence"], _wrong(found, asked)
    )


def _typed(name: str, there: Mapping[str, Any]) -> Any:
    if name not in there and name not in _DEFAULTS:
        raise SchemaResolutionError(f"{name} is not there")
    value = there[name] if name in there else _DEFAULTS[name]
    if type(value) not in _TYPES[name]:
        kinds = " or ".join(kind.__name__ for kind in _TYPES[name])
        raise SchemaResolutionError(f"{name} is {value!r:.40} here, and no {kinds}")
    if type(value) is int and not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise ValueError(f"{name} has more than 64 bits")
    ids = name in ("change_id", "emitter")
    if ids and value is not None and len(value) != UUID_BYTES:
        raise SchemaResolutionError(f"{name} is no fixed of {UUID_BYTES} bytes")
    return value


def _wrong(found: Mapping[str, Any], asked: Asked) -> str | None:
    """The rules of form that the schema cannot say; those of all records not."""
    if found["change_id"] == NIL:
        return "change_id is nil: nobody has set it"
    if asked.account <= 0:
        return f"account {asked.account} is no account number"
    if found["currency"] is not None and not _CURRENCY.fullmatch(found["currency"]):
        return f"currency {found['currency'].hex()} is no three letters A to Z"
    if found["status"] is not None and found["status"] not in STATUSES:
        return f"status {found['status']!r:.40} is not known here"
    for name, most in (
        ("reason", REASON_BYTES_MAX),
        ("changed_by", CHANGED_BY_BYTES_MAX),
    ):
        size = len(found[name].encode())
        if "\x00" in found[name]:
            return f"{name} holds a NUL"
        if size > most:
            return f"{name} has {size} bytes, allowed {most}"
    return None
