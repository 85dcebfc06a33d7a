"""Avro records by the column: a whole batch decoded or encoded in a few array steps.

For flat records (integers, fixed, strings, and nullable ones of these) in the Avro
binary encoding. A record-at-a-time reader pays Python for every field of every
record; here Python is paid per field and batch, and numpy does the rest.

Not for: nested records, schema resolution, error messages. A row that does not decode
is only marked; the caller asks an ordinary Avro reader what is wrong with it.
Source of the encoding: the Avro specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

VARINT_BYTES_MAX = 10  # a 64-bit zigzag varint
_PAD = bytes(32)  # lets a read at the very end of the buffer stay inside it


class NotFlat(ValueError):
    """The schema holds a type that columns do not carry; decode it record by record."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column: `kind` is int, long, string or fixed (then `size` is its bytes)."""

    name: str
    kind: str
    size: int = 0
    nullable: bool = False


@dataclass(slots=True)
class Cursor:
    """Where each row of the batch is being read, and whether it is still sound."""

    data: bytes
    octets: UInt8s
    at: Int64s
    end: Int64s
    bad: Bools

    def varints(self) -> Int64s:
        """The next zigzag varint of every row."""
        at, octets = self.at, self.octets
        byte = octets[at]
        value = (byte & 0x7F).astype(np.uint64)
        more = byte > 0x7F
        used = np.ones(len(at), np.int64)
        shift = 7
        while shift < 7 * VARINT_BYTES_MAX and more.any():
            byte = np.where(more, octets[at + used], 0)
            value |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            used += more
            if shift == 63:
                self.bad |= byte > 1  # more than 64 bits, or an eleventh byte
            more = byte > 0x7F
            shift += 7
        self.advance(used)
        return (value >> np.uint64(1)).astype(np.int64) ^ -(
            (value & np.uint64(1)).astype(np.int64)
        )

    def advance(self, count: Int64s | int) -> None:
        """Step over `count` bytes; a row that would leave its record turns bad."""
        beyond = count > self.end - self.at
        self.bad |= beyond
        self.at = np.where(beyond, self.end, self.at + count)

    def fixed(self, size: int) -> list[bytes]:
        """The next `size` bytes of every row."""
        start = self.at
        self.advance(size)
        # A row near the end that turned bad still reads inside the padded buffer.
        index = np.minimum(start, len(self.octets) - size)[:, None] + np.arange(size)
        column: list[bytes] = self.octets[index].view(f"V{size}").ravel().tolist()
        return column

    def strings(self) -> list[str]:
        """The next string of every row; "" where it is bad."""
        length = self.varints()
        self.bad |= length < 0
        length = np.where(self.bad, 0, length)
        start = self.at
        self.advance(length)
        column = [""] * len(start)
        for row in np.flatnonzero((length > 0) & ~self.bad).tolist():
            raw = self.data[start[row] : start[row] + length[row]]
            try:
                column[row] = raw.decode()
            except UnicodeDecodeError:
                self.bad[row] = True
        return column


class ColumnReader:
    """Decodes batches of one flat record schema (parsed JSON, one namespace)."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Raises NotFlat when a field is of a type that columns do not carry."""
        self.fields = flat_fields(schema)

    def read(
        self, values: Sequence[bytes], skip: int = 0
    ) -> tuple[dict[str, list[Any]], list[int]]:
        """Columns by field name and the rows that are not exactly one record.

        `skip` bytes at the front of each value (a frame) are passed over. A value must
        end where its record ends. Columns hold placeholders in bad rows.
        """
        if not values:
            return {field.name: [] for field in self.fields}, []
        data = b"".join(values) + _PAD
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        end = np.cumsum(lengths)
        bad = lengths < skip
        at = np.where(bad, end, end - lengths + skip)
        cursor = Cursor(data, np.frombuffer(data, np.uint8), at, end, bad)
        columns = {field.name: _read_column(cursor, field) for field in self.fields}
        cursor.bad |= cursor.at != end
        return columns, np.flatnonzero(cursor.bad).tolist()


def _read_column(cursor: Cursor, field: Field) -> list[Any]:
    if not field.nullable:
        return _read_values(cursor, field)
    branch = cursor.varints()
    cursor.bad |= (branch != 0) & (branch != 1)
    present = (branch == 1) & ~cursor.bad
    if present.all():
        return _read_values(cursor, field)
    rows = np.flatnonzero(present)
    column: list[Any] = [None] * len(branch)
    if len(rows) == 0:
        return column
    some = Cursor(
        cursor.data,
        cursor.octets,
        cursor.at[rows],
        cursor.end[rows],
        cursor.bad[rows],
    )
    for row, value in zip(rows.tolist(), _read_values(some, field), strict=True):
        column[row] = value
    cursor.at[rows] = some.at
    cursor.bad[rows] = some.bad
    return column


def _read_values(cursor: Cursor, field: Field) -> list[Any]:
    if field.kind == "fixed":
        return cursor.fixed(field.size)
    if field.kind == "string":
        return cursor.strings()
    numbers = cursor.varints()
    if field.kind == "int":
        cursor.bad |= numbers != numbers.astype(np.int32)
    column: list[int] = numbers.tolist()
    return column


class ColumnWriter:
    """Encodes batches of one flat record schema, each record after the same frame."""

    def __init__(self, schema: dict[str, Any], frame: bytes = b"") -> None:
        """Raises NotFlat when a field is of a type that columns do not carry."""
        self.fields = flat_fields(schema)
        self.frame = frame

    def write(self, columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
        """One value per row. Every column must have the same length.

        Raises OverflowError for an integer beyond 64 bits and ValueError for a fixed of
        the wrong size or columns of different lengths.
        """
        data, starts = self._layout(columns)
        bounds = starts.tolist()
        return [data[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]

    def write_joined(self, columns: Mapping[str, Sequence[Any]]) -> bytes:
        """All rows one behind the other: the items of an Avro array block."""
        return self._layout(columns)[0]

    def _layout(self, columns: Mapping[str, Sequence[Any]]) -> tuple[bytes, Int64s]:
        count = len(columns[self.fields[0].name])
        pieces: list[_Piece] = []
        if self.frame:
            pieces.append(_constant_piece(self.frame, count))
        for field in self.fields:
            column = columns[field.name]
            if len(column) != count:
                raise ValueError(
                    f"column {field.name}: {len(column)} rows, not {count}"
                )
            pieces.extend(_column_pieces(field, column))
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(sum(piece.lengths for piece in pieces), out=starts[1:])
        out = np.empty(int(starts[-1]), np.uint8)
        at = starts[:-1].copy()
        for piece in pieces:
            piece.put(out, at)
            at += piece.lengths
        return out.tobytes(), starts


@dataclass(slots=True)
class _Piece:
    """A part of every row: how long it is there, and how to put it into the buffer."""

    lengths: Int64s
    put: Callable[[UInt8s, Int64s], None]


def _constant_piece(constant: bytes, count: int) -> _Piece:
    octets = np.frombuffer(constant, np.uint8)

    def put(out: UInt8s, at: Int64s) -> None:
        out[at[:, None] + np.arange(len(octets))] = octets

    return _Piece(np.full(count, len(octets), np.int64), put)


def _column_pieces(field: Field, column: Sequence[Any]) -> list[_Piece]:
    if field.nullable:
        if all(value is None for value in column):
            return [_constant_piece(b"\x00", len(column))]
        if any(value is None for value in column):
            raise ValueError(
                f"column {field.name}: null in some rows, values in others"
            )
        return [_constant_piece(b"\x02", len(column)), *_value_pieces(field, column)]
    return _value_pieces(field, column)


def _value_pieces(field: Field, column: Sequence[Any]) -> list[_Piece]:
    if field.kind == "fixed":
        return [_fixed_piece(field, column)]
    if field.kind == "string":
        raw = [text.encode() for text in column]
        lengths = np.fromiter(map(len, raw), np.int64, len(raw))
        return [_varint_piece(lengths), _bytes_piece(raw, lengths)]
    return [_varint_piece(np.fromiter(column, np.int64, len(column)))]


def _fixed_piece(field: Field, column: Sequence[bytes]) -> _Piece:
    joined = b"".join(column)
    if set(map(len, column)) - {field.size}:
        raise ValueError(f"column {field.name}: a value is not {field.size} bytes long")
    octets = np.frombuffer(joined, np.uint8).reshape(len(column), field.size)

    def put(out: UInt8s, at: Int64s) -> None:
        out[at[:, None] + np.arange(field.size)] = octets

    return _Piece(np.full(len(column), field.size, np.int64), put)


def _varint_piece(numbers: Int64s) -> _Piece:
    zigzag = (numbers << 1 ^ numbers >> 63).view(np.uint64)
    lengths = np.ones(len(numbers), np.int64)
    for size in range(1, VARINT_BYTES_MAX):
        longer = zigzag >= np.uint64(1 << 7 * size)
        if not longer.any():
            break
        lengths += longer

    def put(out: UInt8s, at: Int64s) -> None:
        for index in range(int(lengths.max(initial=0))):
            here = lengths > index
            byte = (zigzag >> np.uint64(7 * index)) & np.uint64(0x7F)
            byte |= np.where(lengths > index + 1, np.uint64(0x80), np.uint64(0))
            out[at[here] + index] = byte[here].astype(np.uint8)

    return _Piece(lengths, put)


def _bytes_piece(raw: list[bytes], lengths: Int64s) -> _Piece:
    def put(out: UInt8s, at: Int64s) -> None:
        for row in np.flatnonzero(lengths).tolist():
            start = at[row]
            out[start : start + lengths[row]] = np.frombuffer(raw[row], np.uint8)

    return _Piece(lengths, put)


def flat_fields(schema: dict[str, Any]) -> list[Field]:
    """The columns of a record schema. Raises NotFlat."""
    named: dict[str, int] = {}
    fields = []
    for field in schema["fields"]:
        kind, nullable = field["type"], False
        if isinstance(kind, list):
            if len(kind) != 2 or kind[0] != "null":
                raise NotFlat(f"{field['name']}: only unions of null and one type")
            kind, nullable = kind[1], True
        size = 0
        if isinstance(kind, dict) and kind.get("type") == "fixed":
            size = named[kind["name"].rpartition(".")[2]] = kind["size"]
            kind = "fixed"
        elif isinstance(kind, str) and kind.rpartition(".")[2] in named:
            size, kind = named[kind.rpartition(".")[2]], "fixed"
        if kind not in ("int", "long", "string", "fixed"):
            raise NotFlat(f"{field['name']}: {kind}")
        fields.append(Field(field["name"], kind, size, nullable))
    return fields
