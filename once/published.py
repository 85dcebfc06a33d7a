"""Reads results records: in array steps where that is possible, else by fastavro.

A block of results is an array of equal steps while its offsets are varints of one
length, as nearly all are: then four columns are cut out of it. Whatever is not exactly
that is left to fastavro, and so is every other version of the schema.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import fastavro
import numpy as np
import numpy.typing as npt
from fastavro.schema import to_parsing_canonical_form

from once import resources
from once.registry import FRAME_BYTES, Registry, load_schema, schema_id_of

Numbers = npt.NDArray[np.int64]

ID_BYTES = 16
REST_BYTES = ID_BYTES + 2  # of a result behind its offset: id, verdict, first verdict
OFFSET_BYTES_MAX = 9  # 63 bits
UNKNOWN = "UNKNOWN"  # the first symbol
_MORE = 0x80  # the bit of a varint's byte that another one follows


class Published(NamedTuple):
    """One results record, by the column."""

    partition: int  # of the log
    offsets: Numbers
    ids: bytes  # 16 of each
    verdicts: Numbers  # as Avro numbers them; a newer Bank's may be beyond ours
    first_verdicts: Numbers
    emitter: bytes | None


# Offsets, ids, verdicts, first verdicts.
_Columns = tuple[Numbers, bytes, Numbers, Numbers]
_NONE: tuple[tuple[Any, ...], ...] = ((), (), (), ())


class Uneven(Exception):
    """Not in equal steps: to be read another way."""


class PublishedReader:
    """Reads records of any version of the schema."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        own = load_schema(resources.find("avro/transfer-results.avsc"))
        self._own, self._symbols = _canonical(own), _symbols(own)
        self._readers: dict[int, Callable[[bytes], Published]] = {}

    def read(self, value: bytes | None) -> Published:
        """What a record says. Raises OnceError (registry away), or whatever."""
        schema_id = schema_id_of(value or b"")
        if value is None or schema_id is None:
            raise ValueError("a value without a schema id")
        if schema_id not in self._readers:
            self._readers[schema_id] = self._reader(schema_id)
        return self._readers[schema_id](value[FRAME_BYTES:])

    def _reader(self, schema_id: int) -> Callable[[bytes], Published]:
        schema = fastavro.parse_schema(self._registry.usable_schema(schema_id))
        symbols = _symbols(schema)
        if any(here != there for here, there in zip(symbols, self._symbols)):
            raise ValueError(f"schema {schema_id} numbers its verdicts otherwise")
        numbers = {symbol: number for number, symbol in enumerate(symbols)}

        def plain(body: bytes) -> Published:
            return _by_fastavro(body, schema, numbers)

        def quick(body: bytes) -> Published:
            try:
                return read_even(body, len(numbers))
            except Uneven:
                return plain(body)

        return quick if _canonical(schema) == self._own else plain


def read_even(body: bytes, symbols: int) -> Published:
    """A record of our own schema, whose results have one length in each block.

    `symbols` is how many verdicts there are. Raises Uneven for every other record.
    """
    try:
        return _read_even(body, symbols)
    except (IndexError, ValueError, OverflowError) as error:
        raise Uneven from error


def _read_even(body: bytes, symbols: int) -> Published:
    at = {0: 1, 2: 1 + ID_BYTES}.get(body[0])  # the emitter: null, or an id
    if at is None or len(body) < at:
        raise Uneven
    emitter = body[1:at] or None
    partition, at = _varint(body, at)
    columns: list[_Columns] = []
    count, at = _varint(body, at)
    while count:
        if count < 0:
            count, (_, at) = -count, _varint(body, at)  # followed by its size
        _, behind = _varint(body, at)
        length = behind - at
        if length > OFFSET_BYTES_MAX:
            raise Uneven
        size = count * (length + REST_BYTES)
        block = np.frombuffer(body, np.uint8, size, at).reshape(count, -1)
        columns.append(_columns(block, length, symbols))
        count, at = _varint(body, at + size)
    if at != len(body):
        raise Uneven
    offsets, ids, verdicts, firsts = zip(*columns, strict=True) if columns else _NONE
    none = np.zeros(0, np.int64)
    return Published(
        partition,
        np.concatenate((none, *offsets)),
        b"".join(ids),
        np.concatenate((none, *verdicts)),
        np.concatenate((none, *firsts)),
        emitter,
    )


def _columns(block: Any, length: int, symbols: int) -> _Columns:
    """The columns of a block whose offsets are of this many bytes."""
    more = (block & _MORE) > 0
    verdicts = length + ID_BYTES
    if not more[:, : length - 1].all() or more[:, length - 1].any():
        raise Uneven
    both = block[:, verdicts:]
    if (both >= 2 * symbols).any() or (both & 1).any():  # zigzag: odd is negative
        raise Uneven
    zigzag = np.zeros(len(block), np.int64)
    for place in range(length):
        zigzag |= (block[:, place].astype(np.int64) & 0x7F) << (7 * place)
    offsets = (zigzag >> 1) ^ -(zigzag & 1)
    ids = block[:, length:verdicts].tobytes()
    said, first = (both.astype(np.int64) >> 1).T
    return offsets, ids, said, first


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & _MORE:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def _by_fastavro(body: bytes, schema: Any, numbers: dict[str, int]) -> Published:
    record: Any = fastavro.schemaless_reader(io.BytesIO(body), schema, None)
    results = record["results"]
    return Published(
        record["partition"],
        np.array([result["offset"] for result in results], np.int64),
        b"".join(result["transfer_id"] for result in results),
        np.array([numbers[result["verdict"]] for result in results], np.int64),
        np.array([numbers[_first(result)] for result in results], np.int64),
        record["emitter"],
    )


def _first(result: dict[str, str]) -> str:
    """An older schema does not know it."""
    return result.get("first_verdict", UNKNOWN)


def _symbols(schema: Any) -> list[str]:
    (results,) = (f for f in schema["fields"] if f["name"] == "results")
    (verdict,) = (
        f for f in results["type"]["items"]["fields"] if f["name"] == "verdict"
    )
    symbols: list[str] = verdict["type"]["symbols"]
    return symbols


def _canonical(schema: Any) -> str:
    return to_parsing_canonical_form(fastavro.parse_schema(schema))
