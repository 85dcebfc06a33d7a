"""Columns against an ordinary Avro implementation, which is the oracle."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from once import resources
from once.columns import ColumnReader, ColumnWriter, NotFlat
from once.registry import load_schema

SCHEMA = load_schema(resources.find("avro/transfer.avsc"))
PARSED = fastavro.parse_schema(SCHEMA)
FRAME = b"\x00\x00\x00\x00\x07"
READER = ColumnReader(SCHEMA)
WRITER = ColumnWriter(SCHEMA, FRAME)

longs = st.integers(-(2**63), 2**63 - 1)
records = st.fixed_dictionaries(
    {
        "transfer_id": st.binary(min_size=16, max_size=16),
        "debit_account": longs,
        "credit_account": longs,
        "amount": longs,
        "currency": st.binary(min_size=3, max_size=3),
        "memo": st.text(max_size=200),
        "created_at_ms": longs,
        "emitter": st.none() | st.binary(min_size=16, max_size=16),
        "emitter_sequence": longs,
    }
)


def encode(record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(FRAME)
    fastavro.schemaless_writer(out, PARSED, record)
    return out.getvalue()


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@given(st.lists(records, min_size=1, max_size=20))
def test_reading_columns_is_reading_every_record(rows: list[dict[str, Any]]) -> None:
    columns, bad = READER.read([encode(row) for row in rows], len(FRAME))
    assert bad == []
    assert columns == by_column(rows)


@given(st.lists(records, min_size=1, max_size=20), st.booleans())
def test_writing_columns_is_writing_every_record(
    rows: list[dict[str, Any]], foreign: bool
) -> None:
    for row in rows:
        row["emitter"] = None if foreign else bytes(16)
    assert WRITER.write(by_column(rows)) == [encode(row) for row in rows]


@settings(max_examples=400)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=8))
def test_a_row_is_good_exactly_when_an_ordinary_reader_takes_all_of_it(
    bodies: list[bytes],
) -> None:
    columns, bad = READER.read(bodies)
    for row, body in enumerate(bodies):
        stream = io.BytesIO(body)
        try:
            record: Any = fastavro.schemaless_reader(stream, PARSED, None)
            taken = stream.tell() == len(body)
        except Exception:
            record, taken = None, False
        if row not in bad:
            assert taken
            assert {name: column[row] for name, column in columns.items()} == record
        elif taken:
            # Only what no writer makes: padded or oversized integers.
            assert encode(record)[len(FRAME) :] != body or not_64_bits(record)


def not_64_bits(record: dict[str, Any]) -> bool:
    numbers = [value for value in record.values() if isinstance(value, int)]
    return not all(-(2**63) <= number < 2**63 for number in numbers)


@given(st.lists(records, min_size=2, max_size=6), st.data())
def test_damage_to_one_record_never_touches_its_neighbours(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    values = [encode(row) for row in rows]
    victim = data.draw(st.integers(0, len(rows) - 1))
    cut = data.draw(st.integers(0, len(values[victim]) - 1))
    values[victim] = values[victim][:cut]
    columns, bad = READER.read(values, len(FRAME))
    assert bad == [victim]
    for row in set(range(len(rows))) - {victim}:
        assert {name: column[row] for name, column in columns.items()} == rows[row]


def test_two_broken_records_that_add_up_to_two_good_ones_are_both_bad() -> None:
    row = dict.fromkeys(SCHEMA_NAMES, 1) | {
        "transfer_id": bytes(16),
        "currency": b"EUR",
        "memo": "",
        "emitter": None,
    }
    value = encode(row)
    moved = [value[:-2], value[-2:] + value]
    assert READER.read(moved, 0)[1] == [0, 1]


SCHEMA_NAMES = [field["name"] for field in SCHEMA["fields"]]


def test_a_nested_schema_is_refused() -> None:
    nested = {"fields": [{"name": "a", "type": {"type": "array", "items": "int"}}]}
    with pytest.raises(NotFlat, match="a"):
        ColumnReader(nested)
