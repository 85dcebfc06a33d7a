"""Judges a fetched Avro schema once, before a byte of any record is read with it.

A schema in the registry is the word of a stranger. It may name logical types, which
make dates out of numbers; recurse, which ends a C reader's stack; or repeat an item
that takes no bytes, which never ends. What passes is written anew with nothing but what
the binary encoding needs, so a value read with it is made of None, bool, int, float,
str, bytes, list and dict, in a time that its size bounds.

Source: the Avro specification, "Schema Declaration", "Names" and "Binary Encoding".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TEXT_BYTES_MAX = 512 * 1024
DEPTH_MAX = 64  # levels of nesting; a C reader bears some thousands
# Reading takes at most FREE_STEPS_MAX + STEPS_PER_BYTE_MAX * bytes steps of some 20 ns.
FREE_STEPS_MAX = 4_000
STEPS_PER_BYTE_MAX = 64

_BYTES_MIN = {
    **{"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8},
    **{"bytes": 1, "string": 1},
}

_LOGICAL = ("logicalType", "precision", "scale")


class UnusableSchema(ValueError):
    """No record is read with this schema; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one value takes: `bytes_min` or more; `free` + `rate` * bytes steps or less.

    `depth` is how many values lie in each other.
    """

    bytes_min: int
    free: int
    rate: int
    depth: int


def parse_json(text: str) -> Any:
    """The JSON of a schema. Raises UnusableSchema."""
    if len(text) > TEXT_BYTES_MAX:
        raise UnusableSchema(
            f"the schema has {len(text)} characters, allowed are {TEXT_BYTES_MAX}"
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableSchema(f"the schema is not JSON: {error}") from None


def bounded(
    schema: Any, named: Mapping[str, Any] | None = None, logical: bool = False
) -> Any:
    """The same schema, self-contained and cheap to read. Raises UnusableSchema.

    `named` has the schemas, as parsed JSON, that this one may refer to by full name.
    With `logical`, logical types stay: for people who look, never for money.
    """
    rewritten, cost = _Rewriter(named or {}, logical).rewrite(schema, "", 0)
    if cost.free > FREE_STEPS_MAX:
        raise UnusableSchema(f"one value takes {cost.free} steps to read")
    return rewritten


class _Rewriter:
    """One schema's way through `bounded`."""

    def __init__(self, known: Mapping[str, Any], logical: bool) -> None:
        self._known = known
        self._logical = logical
        self._done: dict[str, Cost] = {}
        self._open: list[str] = []  # names whose definition we are in

    def rewrite(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        """A schema inside `namespace`, `depth` levels down."""
        if depth > DEPTH_MAX:
            raise UnusableSchema(f"it is nested more than {DEPTH_MAX} levels deep")
        if isinstance(schema, str):
            return self._by_name(schema, namespace, depth)
        if isinstance(schema, list):
            return self._union(schema, namespace, depth)
        if not isinstance(schema, dict) or "type" not in schema:
            raise UnusableSchema(f"{_shown(schema)} is no Avro type")
        kind = schema["type"]
        kinds: dict[str, Callable[[Any, str, int], tuple[Any, Cost]]] = {
            "record": self._record,
            "error": self._record,
            "enum": self._enum,
            "fixed": self._fixed,
            "array": self._array,
            "map": self._map,
        }
        if isinstance(kind, str) and kind in kinds:
            rewritten, cost = kinds[kind](schema, namespace, depth)
        else:
            rewritten, cost = self.rewrite(kind, namespace, depth + 1)
        if self._logical and isinstance(schema.get("logicalType"), str):
            rewritten = rewritten if isinstance(rewritten, dict) else {"type": kind}
            rewritten |= {name: schema[name] for name in _LOGICAL if name in schema}
        return rewritten, cost

    def _by_name(self, name: str, namespace: str, depth: int) -> tuple[Any, Cost]:
        if name in _BYTES_MIN:
            least = _BYTES_MIN[name]
            return name, Cost(least, free=0 if least else 1, rate=1, depth=1)
        full = _full_name(name, namespace)
        for candidate in dict.fromkeys((full, name)):
            if candidate in self._open:
                raise UnusableSchema(f"{candidate} holds itself: recursion is refused")
            if candidate in self._done:
                return candidate, self._nested(self._done[candidate], depth)
            if candidate in self._known:
                return self.rewrite(self._known[candidate], "", depth + 1)
        raise UnusableSchema(f"it refers to {name}, which it does not define")

    def _nested(self, cost: Cost, depth: int) -> Cost:
        if depth + cost.depth > DEPTH_MAX:
            raise UnusableSchema(f"it is nested more than {DEPTH_MAX} levels deep")
        return cost

    def _union(
        self, branches: list[Any], namespace: str, depth: int
    ) -> tuple[Any, Cost]:
        if not branches:
            raise UnusableSchema("a union has no branches")
        parts = [self.rewrite(branch, namespace, depth + 1) for branch in branches]
        costs = [cost for _, cost in parts]
        return [part for part, _ in parts], Cost(
            1 + min(cost.bytes_min for cost in costs),
            max(cost.free for cost in costs),
            max(cost.rate for cost in costs),
            1 + max(cost.depth for cost in costs),
        )

    def _record(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        name, inside = self._define(schema, namespace)
        fields = schema.get("fields")
        if not isinstance(fields, list) or not all(map(_is_field, fields)):
            raise UnusableSchema(f"record {name} has no list of named, typed fields")
        names = [field["name"] for field in fields]
        if len(set(names)) != len(names):
            raise UnusableSchema(f"record {name} has two fields of one name")
        self._open.append(name)
        parts = [self.rewrite(field["type"], inside, depth + 1) for field in fields]
        self._open.remove(name)
        costs = [cost for _, cost in parts]
        cost = Cost(
            sum(cost.bytes_min for cost in costs),
            min(FREE_STEPS_MAX + 1, 1 + sum(cost.free for cost in costs)),
            max((cost.rate for cost in costs), default=1),
            1 + max((cost.depth for cost in costs), default=0),
        )
        self._done[name] = cost
        types = [part for part, _ in parts]
        return {
            "type": "record",
            "name": name,
            "fields": [
                {"name": each, "type": of}
                for each, of in zip(names, types, strict=True)
            ],
        }, cost

    def _enum(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        name, _ = self._define(schema, namespace)
        symbols = schema.get("symbols")
        if not isinstance(symbols, list) or not all(map(_is_text, symbols)):
            raise UnusableSchema(f"enum {name} has no list of symbols")
        self._done[name] = Cost(1, free=0, rate=1, depth=1)
        return {"type": "enum", "name": name, "symbols": symbols}, self._done[name]

    def _fixed(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        name, _ = self._define(schema, namespace)
        size = schema.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise UnusableSchema(f"fixed {name} has no size")
        self._done[name] = Cost(size, free=0 if size else 1, rate=1, depth=1)
        return {"type": "fixed", "name": name, "size": size}, self._done[name]

    def _array(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        items, cost = self.rewrite(schema.get("items"), namespace, depth + 1)
        if cost.bytes_min == 0:
            raise UnusableSchema("an array's items take no bytes: it could be endless")
        return {"type": "array", "items": items}, _repeated(cost, 0)

    def _map(self, schema: Any, namespace: str, depth: int) -> tuple[Any, Cost]:
        values, cost = self.rewrite(schema.get("values"), namespace, depth + 1)
        if cost.bytes_min == 0:
            raise UnusableSchema("a map's values take no bytes")
        return {"type": "map", "values": values}, _repeated(cost, 1)

    def _define(self, schema: Any, namespace: str) -> tuple[str, str]:
        """Full name of a named type, and the namespace inside it."""
        name, own = schema.get("name"), schema.get("namespace")
        if not _is_text(name) or not (own is None or isinstance(own, str)):
            raise UnusableSchema(f"{_shown(schema)} has no name")
        full = _full_name(name, namespace if own is None else own)
        if full in self._done or full in self._open:
            raise UnusableSchema(f"{full} is defined twice")
        if full.rpartition(".")[2] in _BYTES_MIN:
            raise UnusableSchema(f"{full} has the name of a primitive type")
        return full, full.rpartition(".")[0]


def _repeated(item: Cost, key_bytes: int) -> Cost:
    """An array or map: what is free in an item is paid for by the item's bytes."""
    rate = max(1, item.rate + -(-item.free // (key_bytes + item.bytes_min)))
    if rate > STEPS_PER_BYTE_MAX:
        raise UnusableSchema(f"an item takes {rate} steps a byte to read")
    return Cost(1, free=0, rate=rate, depth=1 + item.depth)


def unresolvable(writer: Any, reader: Any) -> str | None:
    """Why no record of `writer` can be read as one of `reader`, or None if some can.

    Both are `bounded`, but the reader's fields keep their defaults. It judges the
    fields of the record itself; what lies deeper is found out by reading.
    """
    if not isinstance(writer, dict) or writer["type"] != "record":
        return f"it is of type {_kind(writer)}, not a record"
    there = {field["name"]: field["type"] for field in writer["fields"]}
    for field in reader["fields"]:
        if field["name"] not in there:
            if "default" not in field:
                return f"it is {writer['name']} and has no field {field['name']}"
        elif not _readable(there[field["name"]], field["type"]):
            return (
                f"its field {field['name']} is of type {_kind(there[field['name']])}, "
                f"not {_kind(field['type'])}"
            )
    if _last(writer["name"]) != _last(reader["name"]):
        return f"it is named {writer['name']}, not {reader['name']}"
    return None


_PROMOTED = {("int", "long"), ("string", "bytes"), ("bytes", "string")}
_PROMOTED |= {(a, b) for a in ("int", "long", "float") for b in ("float", "double")}


def _readable(writer: Any, reader: Any) -> bool:
    """Whether some value of `writer` may be one of `reader`."""
    if isinstance(writer, list):
        return any(_readable(branch, reader) for branch in writer)
    if isinstance(reader, list):
        return any(_readable(writer, branch) for branch in reader)
    there, here = _shape(writer), _shape(reader)
    return there == here or (there, here) in _PROMOTED


def _shape(schema: Any) -> str:
    """The type, for a named one its unqualified name too: enough to tell two apart."""
    if isinstance(schema, str):
        return schema if schema in _BYTES_MIN else _last(schema)
    if "name" in schema:
        return _last(schema["name"])
    return str(schema["type"])


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(map(_kind, schema))
    if isinstance(schema, dict) and "name" in schema:
        size = f" of {schema['size']} bytes" if "size" in schema else ""
        return f"{schema['type']} {schema['name']}{size}"
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _full_name(name: str, namespace: str) -> str:
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_field(field: object) -> bool:
    return isinstance(field, dict) and _is_text(field.get("name")) and "type" in field


def _shown(schema: object) -> str:
    return f"{schema!r:.80}"
