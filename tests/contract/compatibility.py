"""FULL_TRANSITIVE without a registry, and what our own rule adds to it.

Avro's rule is asked of the `avro` package: each version can read what any other wrote.
Ours is narrower (avro/README.md): nothing is ever removed, renamed or moved, because
numbers of symbols and names of fields are also those of SQL and of the programs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import avro.compatibility
import avro.schema

Schema = Mapping[str, Any]
_COMPATIBLE = avro.compatibility.SchemaCompatibilityType.compatible


def faults(versions: Sequence[Schema]) -> list[str]:
    """What is wrong between any two of these versions (oldest first)."""
    found = []
    for at, newer in enumerate(versions):
        for number, older in enumerate(versions[:at], 1):
            between = f"versions {at + 1} and {number}"
            found += [f"{between}: {fault}" for fault in _cannot_read(newer, older)]
            found += [f"{between}: {fault}" for fault in _cannot_read(older, newer)]
            found += [f"{between}: {fault}" for fault in _not_only_added(newer, older)]
    return found


def _cannot_read(reader: Schema, writer: Schema) -> list[str]:
    """Avro's schema resolution: why `reader` does not read all that `writer` writes."""
    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    if result.compatibility is _COMPATIBLE:
        return []
    kinds = sorted({kind.value for kind in result.incompatibilities})
    return [f"{kind} {sorted(result.messages)}" for kind in kinds]


def _not_only_added(newer: Schema, older: Schema) -> list[str]:
    """Our rule: fields stay, symbols are only appended."""
    found = []
    now, before = _named(newer), _named(older)
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            found.append(f"type {name} is gone")
            continue
        fields = {field["name"] for field in new.get("fields", [])}
        gone = [f["name"] for f in old.get("fields", []) if f["name"] not in fields]
        found += [f"field {name}.{field} is gone" for field in gone]
        symbols = old.get("symbols", [])
        if new.get("symbols", [])[: len(symbols)] != symbols:
            found.append(f"symbols of {name} were not only appended")
    return found


def _named(schema: Any) -> dict[str, Any]:
    """Every named type, by name."""
    if isinstance(schema, list):
        return {name: t for branch in schema for name, t in _named(branch).items()}
    if not isinstance(schema, Mapping):
        return {}
    is_type = schema.get("type") in ("record", "enum", "fixed")
    found = {schema["name"]: schema} if is_type else {}
    for part in ("type", "items", "values", "fields"):
        found.update(_named(schema.get(part)))
    return found
