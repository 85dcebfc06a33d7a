"""PostgreSQL's binary formats, a column at a time: COPY rows and array parameters.

Only what a set-based writer needs: fixed-width columns, one text column at the end of
the row, and arrays of int8 and uuid. Source: PostgreSQL documentation, "COPY", binary
format; src/backend/utils/adt/arrayfuncs.c (array_recv).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_WIDTHS = {"int2": ">i2", "int4": ">i4", "int8": ">i8"}


class CopyLayout:
    """The rows of one table in COPY binary format: fixed columns, then one text.

    `columns` are (name, type) with type int2, int4, int8 or bytesN (N bytes: a uuid is
    bytes16, a three-letter text is bytes3). No column may be null.
    """

    def __init__(self, columns: Sequence[tuple[str, str]], text: str) -> None:
        self.names = [name for name, _ in columns] + [text]
        self._text = text
        layout: list[tuple[str, str]] = [("count", ">i2")]
        self._sizes: dict[str, int] = {}
        for name, kind in columns:
            width = _WIDTHS.get(kind) or f"V{kind.removeprefix('bytes')}"
            layout += [(f"{name}#", ">i4"), (name, width)]
            self._sizes[name] = np.dtype(width).itemsize
        layout.append((f"{text}#", ">i4"))
        self._dtype = np.dtype(layout)

    def rows(self, columns: dict[str, Sequence[Any]]) -> bytes:
        """All rows, without header and trailer."""
        texts = columns[self._text]
        block = np.zeros(len(texts), self._dtype)
        block["count"] = len(self.names)
        for name, size in self._sizes.items():
            block[f"{name}#"] = size
            if self._dtype[name].kind == "V":
                block[name] = np.frombuffer(b"".join(columns[name]), f"V{size}")
            else:
                block[name] = columns[name]
        if not any(texts):
            return block.tobytes()
        raw = [text.encode() for text in texts]
        block[f"{self._text}#"] = [len(text) for text in raw]
        data, size = block.tobytes(), self._dtype.itemsize
        parts = [b""] * (2 * len(raw))
        parts[0::2] = [data[at : at + size] for at in range(0, len(data), size)]
        parts[1::2] = raw
        return b"".join(parts)


class Int8Array:
    """An int8[] parameter, dumped without touching its elements one by one."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[int]) -> None:
        self.items = items


class UuidArray:
    """A uuid[] parameter from 16-byte strings."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[bytes]) -> None:
        self.items = items


def _array(oid: int, count: int, elements: bytes) -> bytes:
    dimensions = 1 if count else 0
    head = np.array([dimensions, 0, oid], ">i4").tobytes()
    if count:
        head += np.array([count, 1], ">i4").tobytes()
    return head + elements


class Int8ArrayDumper(Dumper):
    """Int8Array -> int8[] in binary."""

    format = Format.BINARY
    oid = 1016

    def dump(self, obj: Int8Array) -> Buffer:
        """The array in the wire format of array_recv."""
        block = np.empty(len(obj.items), [("size", ">i4"), ("value", ">i8")])
        block["size"] = 8
        block["value"] = obj.items
        return _array(20, len(obj.items), block.tobytes())


class UuidArrayDumper(Dumper):
    """UuidArray -> uuid[] in binary."""

    format = Format.BINARY
    oid = 2951

    def dump(self, obj: UuidArray) -> Buffer:
        """The array in the wire format of array_recv."""
        size = b"\x00\x00\x00\x10"
        elements = size + size.join(obj.items) if obj.items else b""
        return _array(2950, len(obj.items), elements)
