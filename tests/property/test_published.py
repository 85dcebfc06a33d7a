"""Results that are cut out in array steps are those that fastavro reads."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from once import resources
from once.published import (
    Published,
    Uneven,
    _by_fastavro,
    _symbols,
    read_even,
)
from once.registry import load_schema

SCHEMA = fastavro.parse_schema(
    load_schema(resources.find("avro/transfer-results.avsc"))
)
SYMBOLS = _symbols(SCHEMA)
NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}

results = st.fixed_dictionaries(
    {
        "offset": st.integers(0, 2**40),
        "transfer_id": st.binary(min_size=16, max_size=16),
        "verdict": st.sampled_from(SYMBOLS),
        "first_verdict": st.sampled_from(SYMBOLS),
    }
)
records = st.fixed_dictionaries(
    {
        "emitter": st.none() | st.binary(min_size=16, max_size=16),
        "partition": st.integers(0, 500),
        "results": st.lists(results, max_size=30),
    }
)


def encoded(record: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, SCHEMA, record)
    return body.getvalue()


def plain(found: Published) -> tuple[object, ...]:
    partition, offsets, ids, verdicts, firsts, emitter = found
    columns = (offsets.tolist(), ids, verdicts.tolist(), firsts.tolist())
    return partition, *columns, emitter


@given(records)
def test_both_ways_read_the_same(record: dict[str, Any]) -> None:
    body = encoded(record)
    try:
        quick = read_even(body, len(SYMBOLS))
    except Uneven:
        lengths = {r["offset"].bit_length() // 7 for r in record["results"]}
        assert len(lengths) > 1, "it is in equal steps"
        return
    assert plain(quick) == plain(_by_fastavro(body, SCHEMA, NUMBERS))


@given(records, st.integers(1, 2**20))
def test_offsets_in_a_row_are_in_equal_steps(
    record: dict[str, Any], first: int
) -> None:
    """From anywhere, unless the length of a varint changes on the way."""
    for place, result in enumerate(record["results"]):
        result["offset"] = 2**20 + first + place  # zigzag: four bytes up to 2**27
    body = encoded(record)
    assert plain(read_even(body, len(SYMBOLS))) == plain(
        _by_fastavro(body, SCHEMA, NUMBERS)
    )


@given(records, st.data())
def test_a_spoilt_record_is_read_as_fastavro_does_or_left_to_it(
    record: dict[str, Any], data: st.DataObject
) -> None:
    body = bytearray(encoded(record))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    spoilt = bytes(body)[: data.draw(st.integers(0, len(body)))]
    try:
        quick = read_even(spoilt, len(SYMBOLS))
    except Uneven:
        return
    try:
        known = _by_fastavro(spoilt, SCHEMA, NUMBERS)
    except Exception:  # whatever it provokes there
        pytest.fail(f"{spoilt!r} was read as {quick}, and is no record")
    assert plain(quick) == plain(known)
