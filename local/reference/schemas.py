"""The fields of each record, as the Avro schemas say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from local.reference.blocks import Table, code, table
from once.resources import find


def tables() -> dict[str, Table]:
    """The fields of each schema in avro/, as `schema FILE`."""
    files = sorted(find("avro").glob("*.avsc"))
    return {f"schema {file.stem}": partial(_table, file) for file in files}


def _table(file: Path) -> str:
    schema = json.loads(file.read_text())
    rows = [(code(name), kind, doc) for name, kind, doc in _fields(schema, "")]
    return table(("field", "type", ""), rows)


def _fields(record: Mapping[str, Any], inside: str) -> Iterator[tuple[str, str, str]]:
    """Each field, those of records in it after it: name, type, what it is."""
    for field in record["fields"]:
        name = f"{inside}{field['name']}"
        yield name, _kind(field["type"]), field.get("doc", "")
        yield from _inside(field["type"], name)


def _inside(kind: Any, name: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(kind, list):
        for each in kind:
            yield from _inside(each, name)
    elif isinstance(kind, dict) and kind["type"] == "array":
        yield from _inside(kind["items"], f"{name}[]")
    elif isinstance(kind, dict) and kind["type"] == "record":
        yield from _fields(kind, f"{name}.")


def _kind(kind: Any) -> str:
    """A type in words; a type of its own by its name."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        return " or ".join(map(_kind, kind))
    match kind["type"]:
        case "array":
            return f"array of {_kind(kind['items'])}"
        case "fixed":
            return f"{kind['name']}, {kind['size']} bytes"
        case "enum":
            return f"{kind['name']}: {', '.join(map(code, kind['symbols']))}"
        case "record":
            return str(kind["name"])
    return str(kind.get("logicalType", kind["type"]))
