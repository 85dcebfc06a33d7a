"""The schemas themselves: strict Avro, and every part of them explained."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
import pytest

from consumers.bank.verdicts import Verdict
from once.registry import load_schema
from tests.contract.golden import AVRO

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # Avro specification, "Names"
FILES = sorted(AVRO.glob("*.avsc"))

each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def definitions(schema: Any) -> Iterator[dict[str, Any]]:
    """Every named type and every field, from the outside in."""
    if isinstance(schema, list):
        for branch in schema:
            yield from definitions(branch)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield schema
        for part in ("type", "items", "values", "fields"):
            yield from definitions(schema.get(part))


def undocumented(schema: Any) -> list[str]:
    return [d["name"] for d in definitions(schema) if not d.get("doc", "").strip()]


def badly_named(schema: Any) -> list[str]:
    names = [
        word for d in definitions(schema) for word in [d["name"], *d.get("symbols", [])]
    ]
    return [name for name in names if not NAME.fullmatch(name)]


def test_there_are_four_schemas() -> None:
    names = {"transfer", "transfer-results", "transfer-receipts", "account-change"}
    assert {path.stem for path in FILES} == names


def test_the_wheel_has_all_of_them() -> None:
    """In a checkout they are found without it; in an image they are not."""
    project = tomllib.loads((AVRO.parent / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for path in FILES:
        assert wheel[f"avro/{path.name}"] == f"once/_data/avro/{path.name}"


@each
def test_two_implementations_parse_it_strictly(path: Path) -> None:
    parsed = avro.schema.parse(path.read_text(), validate_names=True)
    assert isinstance(parsed, avro.schema.RecordSchema)
    fastavro.parse_schema(load_schema(path))  # also that defaults are of their type


@each
def test_every_type_and_field_says_what_it_is(path: Path) -> None:
    assert undocumented(load_schema(path)) == []


@each
def test_every_name_is_one_that_any_language_takes(path: Path) -> None:
    assert badly_named(load_schema(path)) == []


@each
def test_there_is_no_logical_type(path: Path) -> None:
    """They double the cost of decoding; a number or 16 bytes say the same."""
    assert "logicalType" not in path.read_text()


def test_the_numbers_of_the_verdicts_are_those_of_the_program() -> None:
    schema = load_schema(AVRO / "transfer-results.avsc")
    enum = next(d for d in definitions(schema) if d["name"] == "Verdict")
    assert enum["symbols"] == [verdict.name for verdict in Verdict]
    assert [verdict.value for verdict in Verdict] == list(range(len(Verdict)))
    assert enum["default"] == Verdict.UNKNOWN.name


def test_what_is_not_documented_or_badly_named_is_found() -> None:
    schema = json.loads("""{"type": "record", "name": "A", "doc": "a", "fields": [
            {"name": "b-c", "type": {"type": "array", "items":
                {"type": "enum", "name": "D", "doc": " ", "symbols": ["e.f"]}}}]}""")
    assert undocumented(schema) == ["b-c", "D"]
    assert badly_named(schema) == ["b-c", "e.f"]
