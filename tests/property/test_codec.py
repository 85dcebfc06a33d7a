"""Whatever a stranger writes is read in time, and as Apache's own reader reads it."""

from __future__ import annotations

import copy
import io
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import avro.errors
import avro.io
import avro.schema
import fastavro
import pytest
from fastavro.utils import generate_one
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.internal.entropy import deterministic_PRNG

from consumers.bank.codec import Reason, TransferCodec
from once import resources
from once.registry import Registry, frame, load_schema
from tests.contract.registry_server import Schema, serving

OURS = load_schema(resources.find("avro/transfer.avsc"))
DECODE_SECONDS_MAX = 2.0  # the bound is some 0.2 s; machines can be slow
GOOD = {
    "transfer_id": bytes(range(16)),
    "debit_account": 1,
    "credit_account": 2,
    "amount": 5,
    "currency": b"EUR",
    "memo": "m",
    "created_at_ms": 1_700_000_000_000,
    "emitter": None,
    "emitter_sequence": 0,
}
LOGICAL = st.sampled_from(
    ["timestamp-millis", "timestamp-micros", "date", "time-millis", "uuid", "decimal"]
)
numbers = itertools.count(2)


class Bench:
    """A codec on a registry that can be given any schema."""

    def __init__(self, url: str, schemas: dict[int, Schema]) -> None:
        self._schemas = schemas
        self.codec = TransferCodec(Registry(url), "transfers-value")

    def register(self, schema: Schema) -> int:
        number = next(numbers)
        self._schemas[number] = schema
        return number

    def decode(self, schema: Schema, body: bytes) -> tuple[dict[str, Any], Any]:
        """The columns' one row and its fault, in time."""
        began = time.monotonic()
        value = frame(self.register(schema)) + body
        columns, faults = self.codec.decode([value], [b"1"])
        assert time.monotonic() - began < DECODE_SECONDS_MAX
        return {name: column[0] for name, column in columns.items()}, faults.get(0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    schemas: dict[int, Schema] = {1: OURS}
    with serving(schemas) as url:
        yield Bench(url, schemas)


def named(kind: str, **more: Any) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda n: {"type": kind, "name": f"N{n}", **more}, st.integers(0, 10**9)
    )


def records_of(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda n, of: {
            "type": "record",
            "name": f"R{n}",
            "fields": [{"name": f"f{i}", "type": t} for i, t in enumerate(of)],
        },
        st.integers(0, 10**9),
        st.lists(types, max_size=3),
    )


primitives = st.sampled_from(
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
)
leaves = (
    primitives
    | st.builds(
        lambda t, logical: {"type": t, "logicalType": logical}, primitives, LOGICAL
    )
    | named("enum", symbols=["A", "B"])
    | st.integers(0, 70_000).flatmap(lambda size: named("fixed", size=size))
    | st.sampled_from(["Uuid", "once.payments.Currency", "Nobody"])
)
types: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.builds(lambda t: {"type": "array", "items": t}, inner)
    | st.builds(lambda t: {"type": "map", "values": t}, inner)
    | st.lists(inner, min_size=1, max_size=3)
    | records_of(inner),
    max_leaves=6,
)


@st.composite
def foreign_schemas(draw: st.DrawFn) -> Any:
    """Ours, with fields of other types, further fields, or fewer."""
    schema = copy.deepcopy(OURS)
    fields = schema["fields"]
    for field in draw(st.lists(st.sampled_from(fields), max_size=2)):
        field["type"] = draw(types)
    for n in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields)))
        fields.insert(at, {"name": f"added{n}", "type": draw(types)})
    if draw(st.booleans()):
        del fields[draw(st.integers(0, len(fields) - 1))]
    return schema


def without_logical(schema: Any) -> Any:
    if isinstance(schema, dict):
        items = schema.items()
        return {k: without_logical(v) for k, v in items if k != "logicalType"}
    return [*map(without_logical, schema)] if isinstance(schema, list) else schema


def read_by_apache(schema: Any, body: bytes) -> dict[str, Any]:
    """Our fields as Apache's own package reads them; raises what it raises.

    By the writer's schema alone: it resolves fewer unions than the specification says.
    """
    writer = avro.schema.parse(json.dumps(without_logical(schema)))
    stream = io.BytesIO(body)
    there: Any = avro.io.DatumReader(writer).read(avro.io.BinaryDecoder(stream))
    assert stream.read() == b""
    found = {f["name"]: there.get(f["name"], f.get("default")) for f in OURS["fields"]}
    if isinstance(found["memo"], bytes):  # the specification makes text of bytes
        found["memo"] = found["memo"].decode()
    return found


def body_of(record: dict[str, Any], schema: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(
        out, fastavro.parse_schema(copy.deepcopy(schema)), record
    )
    return out.getvalue()


BODY = body_of(GOOD, OURS)
broken = st.binary(max_size=200) | st.builds(
    lambda at, cut, put: BODY[:at] + put + BODY[at + cut :],
    st.integers(0, len(BODY)),
    st.integers(0, 8),
    st.binary(max_size=12),
)


@st.composite
def foreign_records(draw: st.DrawFn) -> tuple[Any, bytes]:
    """A schema, and bytes that are its record, or nearly, or not at all."""
    schema = draw(foreign_schemas())
    if draw(st.booleans()):
        return schema, draw(broken)
    plain = without_logical(schema)
    try:
        parsed = fastavro.parse_schema(copy.deepcopy(plain))
        with deterministic_PRNG():
            made_up: Any = generate_one(parsed)
        return schema, body_of({**made_up, **GOOD}, plain)
    except Exception:  # no schema that a writer bears, or GOOD is none of it
        return schema, draw(broken)


applied = itertools.count()


def holds(bench: Bench, schema: Any, body: bytes) -> bool:
    """Whether the record was applied; else it has a reason."""
    row, fault = bench.decode(schema, body)
    if fault is not None:
        assert fault.reason in Reason and fault.detail
        return False
    assert {type(value) for value in row.values()} <= {int, bytes, str, type(None)}
    try:
        expected = read_by_apache(schema, body)
    except avro.errors.SchemaParseException:  # it is stricter with what it never reads
        return False
    assert row == expected
    return True


@settings(max_examples=1_000)
@given(record=foreign_records())
@example(record=(OURS, BODY))
def test_any_schema_and_bytes_end_in_a_transfer_or_a_reason(
    bench: Bench, record: tuple[Any, bytes]
) -> None:
    if holds(bench, *record):
        next(applied)


def test_enough_of_them_were_transfers() -> None:
    """Else the property above would hold of nothing but refusals."""
    assert next(applied) > 30


def changed(name: str, kind: Any) -> Any:
    schema = copy.deepcopy(OURS)
    next(f for f in schema["fields"] if f["name"] == name)["type"] = kind
    return schema


def with_field(kind: Any) -> Any:
    schema = copy.deepcopy(OURS)
    schema["fields"].append({"name": "meta", "type": kind})
    return schema


def a_record(name: str, *of: Any) -> Any:
    fields = [{"name": f"f{n}", "type": each} for n, each in enumerate(of)]
    return {"type": "record", "name": name, "fields": fields}


def doubled(times: int) -> Any:
    """2 ** times fields that take no byte at all."""
    inner: Any = "null"
    for n in range(times):
        inner = a_record(f"D{n}", inner, inner if n == 0 else f"D{n - 1}")
    return inner


def chained(length: int) -> Any:
    """Records that hold the one before: no text is deep, a value is."""
    parts = [a_record("C0", "long")]
    parts += [a_record(f"C{n}", f"C{n - 1}") for n in range(1, length)]
    return a_record("All", *parts)


def nested(depth: int) -> Any:
    kind: Any = "long"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


NODE = a_record("Node", ["null", "Node"])
POISON = {
    "recursion": (with_field(["null", NODE]), BODY + b"\x02" * 60_000 + b"\0"),
    "recursion by two": (
        with_field(["null", a_record("A", a_record("B", ["null", "A"]))]),
        BODY + b"\x02" * 60_000 + b"\0",
    ),
    "recursion by an array": (
        with_field(a_record("T", {"type": "array", "items": "T"})),
        BODY + b"\x02" * 60_000,
    ),
    "items of no bytes": (
        with_field({"type": "array", "items": "null"}),
        BODY + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    "items that are empty records": (
        with_field({"type": "array", "items": a_record("Empty")}),
        BODY + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    "items that are empty fixeds": (
        with_field(
            {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}
        ),
        BODY + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    "values of no bytes": (
        with_field({"type": "map", "values": "null"}),
        BODY + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    "fields that double": (with_field(doubled(40)), BODY),
    "a chain of records": (with_field(chained(500)), BODY),
    "arrays in arrays": (with_field(nested(200)), BODY + b"\x02" * 5_000),
    "text that is deeply nested": ("[" * 100_000, BODY),
    "a schema of a megabyte": (json.dumps(with_field("x" * 10**6)), BODY),
    "a schema that is a number": ("7", BODY),
    "no type": ({"name": "Transfer"}, BODY),
    "a type that is a number": (changed("memo", 7), BODY),
    "a size that is a text": (
        changed("currency", {"type": "fixed", "name": "Currency", "size": "3"}),
        BODY,
    ),
    "a size beyond all memory": (
        with_field({"type": "fixed", "name": "F", "size": 2**60}),
        BODY,
    ),
    "a float amount": (changed("amount", "double"), BODY),
    "a boolean account": (changed("debit_account", "boolean"), BODY),
}


@pytest.mark.parametrize("name", POISON)
def test_what_no_reader_bears_is_set_aside_in_time(bench: Bench, name: str) -> None:
    schema, body = POISON[name]
    _, fault = bench.decode(schema, body)
    assert fault is not None
    assert fault.reason in (Reason.INCOMPATIBLE_SCHEMA, Reason.BAD_BYTES)


HARMLESS = {
    "time in milliseconds": (
        changed("created_at_ms", {"type": "long", "logicalType": "timestamp-millis"}),
        BODY,
    ),
    "an amount as decimal": (
        changed("amount", {"type": "long", "logicalType": "decimal", "precision": 9}),
        BODY,
    ),
    "an id as a logical uuid": (
        changed(
            "transfer_id",
            {"type": "fixed", "name": "Uuid", "size": 16, "logicalType": "uuid"},
        ),
        BODY,
    ),
    "Java's own strings": (
        changed("memo", {"type": "string", "avro.java.string": "String"}),
        BODY,
    ),
    "a type in a type": (changed("memo", {"type": {"type": "string"}}), BODY),
    "a further field of strings": (
        with_field({"type": "map", "values": {"type": "array", "items": "string"}}),
        BODY + b"\x02\x02a\x02\x02b\0\0",
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_logical_type_or_a_further_field_says_changes_nothing(
    bench: Bench, name: str
) -> None:
    schema, body = HARMLESS[name]
    row, fault = bench.decode(schema, body)
    assert fault is None
    assert row == GOOD


def test_reading_64_kib_takes_no_longer_than_the_bound(bench: Bench) -> None:
    """The dearest schema that passes, on as many bytes as a record may have."""
    items = a_record("Dear", "long", *["null"] * 62)
    schema = with_field({"type": "array", "items": items})
    count = 64 * 1024 - len(BODY) - 16
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema("long"), count)
    bench.decode(schema, BODY + body.getvalue() + b"\x02" * count + b"\0")
