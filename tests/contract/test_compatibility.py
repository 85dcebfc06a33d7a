"""Every version reads every other one's records, and what would end that is found."""

from __future__ import annotations

import copy
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from once.registry import load_schema
from tests.contract.compatibility import faults
from tests.contract.golden import AVRO, all_golden

VERSIONS = AVRO / "versions"
NAMES = sorted(path.stem for path in AVRO.glob("*.avsc"))

each = pytest.mark.parametrize("name", NAMES)


def released(name: str) -> list[Path]:
    return sorted((VERSIONS / name).glob("*.avsc"), key=lambda path: int(path.stem))


def history(name: str) -> list[dict[str, Any]]:
    """The released versions, oldest first, and today's."""
    return [load_schema(path) for path in [*released(name), AVRO / f"{name}.avsc"]]


@each
def test_released_versions_are_numbered_without_a_gap(name: str) -> None:
    numbers = [int(path.stem) for path in released(name)]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers


@each
def test_the_history_is_fully_compatible(name: str) -> None:
    assert faults(history(name)) == []


@each
def test_golden_records_cross_between_any_two_versions(name: str) -> None:
    for writer, reader in itertools.permutations(history(name), 2):
        for one in all_golden(name):
            out = io.BytesIO()
            fastavro.schemaless_writer(out, writer, writable(writer, one.value))
            out.seek(0)
            fastavro.schemaless_reader(out, writer, reader)


def writable(writer: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What a writer of that version would have: no symbol that came later."""
    known = json.dumps(writer)
    results = [
        {**each, "verdict": each["verdict"] if each["verdict"] in known else "UNKNOWN"}
        for each in value.get("results", ())
    ]
    return {**value, "results": results} if results else value


Change = Callable[[dict[str, Any]], object]


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in schema["fields"] if f["name"] == name)
    return found


def remove(name: str) -> Change:
    return lambda schema: schema["fields"].remove(field(schema, name))


def retype(name: str, to: Any) -> Change:
    return lambda schema: field(schema, name).update(type=to)


def add(**new: Any) -> Change:
    return lambda schema: schema["fields"].append(new)


def resize(schema: dict[str, Any]) -> None:
    field(schema, "currency")["type"]["size"] = 4


def rename(schema: dict[str, Any]) -> None:
    field(schema, "amount")["name"] = "sum"


def changed(name: str, *changes: Change) -> dict[str, Any]:
    schema = copy.deepcopy(load_schema(AVRO / f"{name}.avsc"))
    for change in changes:
        change(schema)
    return schema


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (remove("amount"), "reader_field_missing_default_value ['amount']"),
        (remove("memo"), "field Transfer.memo is gone"),  # Avro would allow it
        (rename, "reader_field_missing_default_value"),
        (retype("amount", "string"), "type_mismatch"),
        (retype("amount", "int"), "type_mismatch"),  # narrowing: new cannot read old
        (retype("amount", "double"), "type_mismatch"),  # widening: old cannot read new
        (retype("memo", ["null", "string"]), "type_mismatch"),
        (resize, "fixed_size_mismatch"),
        (add(name="purpose", type="string"), "missing_default_value ['purpose']"),
    ],
)
def test_a_change_that_breaks_the_rule_is_found(change: Change, why: str) -> None:
    found = faults([changed("transfer"), changed("transfer", change)])
    assert any(why in fault for fault in found), found


@pytest.mark.parametrize(
    "change",
    [
        add(name="purpose", type="string", default=""),
        add(name="parent", type=["null", "Uuid"], default=None),
        lambda schema: field(schema, "memo").update(doc="Said better."),
    ],
)
def test_a_change_that_keeps_the_rule_is_not(change: Change) -> None:
    assert faults([changed("transfer"), changed("transfer", change)]) == []


def verdict(schema: dict[str, Any]) -> dict[str, Any]:
    enum: dict[str, Any] = field(field(schema, "results")["type"]["items"], "verdict")[
        "type"
    ]
    return enum


def append_symbol(schema: dict[str, Any]) -> None:
    verdict(schema)["symbols"].append("DECLINED_LATER")


def insert_symbol(schema: dict[str, Any]) -> None:
    verdict(schema)["symbols"].insert(1, "DECLINED_LATER")


def drop_default(schema: dict[str, Any]) -> None:
    del verdict(schema)["default"]


def test_a_new_symbol_is_taken_because_readers_have_a_default() -> None:
    today = changed("transfer-results")
    assert faults([today, changed("transfer-results", append_symbol)]) == []
    bare = changed("transfer-results", drop_default)
    found = faults([bare, changed("transfer-results", drop_default, append_symbol)])
    assert any("missing_enum_symbols" in fault for fault in found), found


def test_a_symbol_that_is_not_the_last_is_found() -> None:
    """Readers would not mind, but the symbol's number is also the ledger's."""
    today = changed("transfer-results")
    found = faults([today, changed("transfer-results", insert_symbol)])
    assert found == ["versions 2 and 1: symbols of Verdict were not only appended"]


def test_a_version_is_compared_with_all_before_it_not_just_the_last() -> None:
    first = changed("transfer", add(name="purpose", type="string", default=""))
    second = changed("transfer")
    third = changed("transfer", add(name="purpose", type="long", default=0))
    assert not any("type_mismatch" in fault for fault in faults([second, third]))
    found = faults([first, second, third])
    assert any("versions 3 and 1: type_mismatch" in fault for fault in found), found


def test_an_old_reader_reads_a_new_symbol_as_unknown() -> None:
    today = changed("transfer-results")
    later = changed("transfer-results", append_symbol)
    result = {"offset": 5, "transfer_id": bytes(16), "verdict": "DECLINED_LATER"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, later, {"partition": 0, "results": [result]})
    out.seek(0)
    read: Any = fastavro.schemaless_reader(out, later, today)
    unknown = {"verdict": "UNKNOWN", "first_verdict": "UNKNOWN"}
    assert read["results"] == [{**result, **unknown}]
