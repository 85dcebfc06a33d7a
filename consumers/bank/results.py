"""Verdicts as Kafka records: one record per emitter and slice, an Avro array in chunks.

A Store reads its own results and skips all others by key, undecoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from consumers.bank.batch import Slice
from consumers.bank.verdicts import Verdict
from once import resources
from once.columns import ColumnWriter
from once.producer import Record
from once.registry import Registry, frame, load_schema
from once.sequence import runs

RESULTS_PER_RECORD_MAX = 4_000

_ITEM = {
    "fields": [
        {"name": "offset", "type": "long"},
        {"name": "transfer_id", "type": {"type": "fixed", "name": "Uuid", "size": 16}},
        {"name": "verdict", "type": "int"},  # an Avro enum is its index, as an int
        {"name": "first_verdict", "type": "int"},
    ]
}
_HEAD = {
    "fields": [
        {"name": "partition", "type": "int"},
        {"name": "results", "type": "long"},  # an array begins with its item count
    ]
}


class ResultsCodec:
    """Encodes results records by the column; any Avro reader reads them back."""

    def __init__(self, registry: Registry, subject: str) -> None:
        """Raises Retriable, and Defect while the schema is not registered."""
        schema = load_schema(resources.find("avro/transfer-results.avsc"))
        self._frame = frame(registry.id_of(subject, schema))
        self._items = ColumnWriter(_ITEM)
        self._head = ColumnWriter(_HEAD)

    def encode(
        self,
        piece: Slice,
        verdicts: Sequence[int],
        from_offset: int,
        firsts: Mapping[int, int] = MappingProxyType({}),
    ) -> list[Record]:
        """Records for the results of one slice at offsets >= `from_offset`.

        `verdicts` has one verdict per record of the slice; `firsts`, by row of a
        repeat, the verdict on the first record of its id.
        """
        offsets = piece.records.offsets
        first = next((i for i, o in enumerate(offsets) if o >= from_offset), None)
        if first is None:
            return []
        columns: dict[str, Sequence[object]] = {
            "offset": offsets[first:],
            "transfer_id": piece.ids[first:],
            "verdict": verdicts[first:],
            "first_verdict": _column(firsts, first, len(offsets)),
        }
        return [
            {"key": emitter, "value": self._encode(emitter, piece.partition, chunk)}
            for emitter, mine in _by_emitter(piece.emitters[first:], columns)
            for chunk in _chunks(mine)
        ]

    def _encode(
        self,
        emitter: bytes | None,
        partition: int,
        columns: dict[str, Sequence[object]],
    ) -> bytes:
        count = len(columns["offset"])
        return b"".join(
            (
                self._frame,
                b"\x00" if emitter is None else b"\x02" + emitter,
                self._head.write_joined({"partition": [partition], "results": [count]}),
                self._items.write_joined(columns),
                b"\x00",  # an array ends with an empty block
            )
        )


def _column(firsts: Mapping[int, int], start: int, end: int) -> list[int]:
    if not firsts:
        return [int(Verdict.UNKNOWN)] * (end - start)
    return [firsts.get(row, int(Verdict.UNKNOWN)) for row in range(start, end)]


def _by_emitter(
    emitters: Sequence[bytes | None], columns: dict[str, Sequence[object]]
) -> list[tuple[bytes | None, dict[str, Sequence[object]]]]:
    found: dict[bytes | None, list[slice]] = {}
    for emitter, first, end in runs(emitters):
        found.setdefault(emitter, []).append(slice(first, end))
    return [
        (
            emitter,
            {
                name: list(chain.from_iterable(column[rows] for rows in mine))
                for name, column in columns.items()
            },
        )
        for emitter, mine in found.items()
    ]


def _chunks(columns: dict[str, Sequence[object]]) -> list[dict[str, Sequence[object]]]:
    count = len(columns["offset"])
    return [
        {
            name: column[at : at + RESULTS_PER_RECORD_MAX]
            for name, column in columns.items()
        }
        for at in range(0, count, RESULTS_PER_RECORD_MAX)
    ]
