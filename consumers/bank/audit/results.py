"""Compares the results topic with the verdicts worked out from the ledger (I8).

Results of one partition come in any order among the results topic's partitions. So both
sides are folded into a count and an order-free sum of hashes per window of offsets:
memory is bounded by the windows, and a window that differs is read again, by name.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import fastavro
import numpy as np
import numpy.typing as npt

from consumers.bank.audit.report import Evidence
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.trace import Trace
from once.errors import OnceError
from once.registry import FRAME_BYTES, Registry, schema_id_of

WINDOW = 65_536
WINDOWS_NAMED_MAX = 4
_MASK = 2**64 - 1
_KEYS = [np.uint64(secrets.randbits(64) | 1) for _ in range(4)]

Result = tuple[int, bytes, int]  # offset, transfer_id, verdict
Window = tuple[int, int]  # partition, offset // WINDOW


class Results:
    """Reads the results topic."""

    def __init__(self, topics: Topics, topic: str, registry: Registry) -> None:
        self._topics = topics
        self._topic = topic
        self._registry = registry
        self._schemas: dict[int, Any] = {}
        self._ends = {
            partition: topics.decided_ends(topic, partition)
            for partition in topics.partitions(topic)
        }

    def read(self, evidence: Evidence) -> Iterator[tuple[int, list[Result]]]:
        """(input partition, results) of every committed results record.

        What is none, whoever wrote it there, is named and passed over.
        """
        for partition, (low, end) in self._ends.items():
            for messages in self._topics.read(self._topic, partition, low, end):
                for message in messages:
                    try:
                        yield self._decode(message.value())
                    except OnceError:
                        raise  # the registry is away
                    except Exception as error:  # whatever the bytes provoke
                        evidence.broken(
                            "I8",
                            f"{self._topic}[{partition}]@{message.offset()} is no "
                            f"results record: {error!r:.200}",
                        )

    def _decode(self, value: bytes | None) -> tuple[int, list[Result]]:
        schema_id = schema_id_of(value or b"")
        if value is None or schema_id is None:
            raise ValueError("a value without a schema id")
        if schema_id not in self._schemas:
            schema = fastavro.parse_schema(self._registry.usable_schema(schema_id))
            numbers = {s: n for n, s in enumerate(_symbols(schema))}
            self._schemas[schema_id] = (schema, numbers)
        schema, numbers = self._schemas[schema_id]
        body = io.BytesIO(value[FRAME_BYTES:])
        record: Any = fastavro.schemaless_reader(body, schema, None)
        return record["partition"], [
            (result["offset"], result["transfer_id"], numbers[result["verdict"]])
            for result in record["results"]
        ]


def _symbols(schema: Any) -> list[str]:
    (results,) = (f for f in schema["fields"] if f["name"] == "results")
    (verdict,) = (
        f for f in results["type"]["items"]["fields"] if f["name"] == "verdict"
    )
    symbols: list[str] = verdict["type"]["symbols"]
    return symbols


class Fold:
    """One side, folded by window: a count, and a sum of hashes without order."""

    def __init__(self, begins: Mapping[int, int], due: Mapping[int, int]) -> None:
        """By partition, where the log begins, and the group's offset: both sides must
        have what lies between."""
        self.begins = begins
        self.due = due
        self.windows: dict[Window, tuple[int, int]] = {}

    def add(self, partition: int, results: Iterable[Result]) -> None:
        """These records have these results."""
        begin, due = self._range(partition)
        columns = tuple(zip(*results, strict=True))
        if not columns:
            return
        offsets = np.array(columns[0], np.int64)
        hashes = _hashes(offsets, columns[1], columns[2])
        covered = (begin <= offsets) & (offsets < due)
        indexes = offsets // WINDOW
        for index in np.unique(indexes[covered]).tolist():
            mine = hashes[covered & (indexes == index)]
            count, total = self.windows.get((partition, index), (0, 0))
            total = (total + int(mine.sum(dtype=np.uint64))) & _MASK
            self.windows[partition, index] = (count + len(mine), total)

    def covers(self, partition: int, offset: int) -> bool:
        """Whether both sides must have this record: it is there, and published."""
        begin, due = self._range(partition)
        return begin <= offset < due

    def _range(self, partition: int) -> tuple[int, int]:
        return self.begins.get(partition, 0), self.due.get(partition, 0)


def differing(one: Fold, other: Fold) -> list[Window]:
    """The windows in which something is missing, too much or different."""
    windows = {*one.windows, *other.windows}
    return sorted(w for w in windows if one.windows.get(w) != other.windows.get(w))


def _hashes(
    offsets: npt.NDArray[np.int64], ids: Sequence[bytes], verdicts: Sequence[int]
) -> npt.NDArray[np.uint64]:
    """64 bits of each record, by a function that nobody knew before this audit.

    Multiplied and folded between the parts (as splitmix64 does), so that two records
    that swap a part do not sum to the same.
    """
    halves = np.frombuffer(b"".join(ids), ">u8").reshape(-1, 2).astype(np.uint64)
    parts = (
        offsets.astype(np.uint64),
        halves[:, 0],
        halves[:, 1],
        np.array(verdicts, np.uint64),
    )
    mixed = np.zeros(len(offsets), np.uint64)
    for part, key in zip(parts, _KEYS, strict=True):
        mixed = (mixed ^ part) * key
        mixed ^= mixed >> np.uint64(29)
    mixed *= _KEYS[0]
    return mixed ^ (mixed >> np.uint64(32))


def compare(expected: Fold, found: Fold, results: Results, trace: Trace) -> None:
    """Name what differs."""
    windows = differing(expected, found)
    for window in windows[WINDOWS_NAMED_MAX:]:
        trace.evidence.broken(
            "I8", f"results differ in partition {window[0]}, window {window}"
        )
    if windows:
        _name(windows[:WINDOWS_NAMED_MAX], expected, results, trace)


def _name(
    windows: list[Window], expected: Fold, results: Results, trace: Trace
) -> None:
    """Read the differing windows again and say what is wrong record by record."""
    found: dict[Window, dict[int, list[tuple[bytes, int]]]] = {w: {} for w in windows}
    for partition, mine in results.read(Evidence()):
        for offset, transfer_id, verdict in mine:
            window = found.get((partition, offset // WINDOW))
            if window is not None and expected.covers(partition, offset):
                window.setdefault(offset, []).append((transfer_id, verdict))
    for (partition, index), seen in found.items():
        end = min((index + 1) * WINDOW, expected.due[partition])
        start = max(index * WINDOW, expected.begins.get(partition, 0))
        for judged in trace.judged(partition, start, end, Evidence()):
            rows = zip(judged.offsets, judged.ids, judged.verdicts, strict=True)
            for offset, transfer_id, verdict in rows:
                there = seen.pop(offset, [])
                if there != [(transfer_id, verdict)]:
                    trace.evidence.broken(
                        "I8",
                        f"{trace.topic}[{partition}]@{offset}, transfer "
                        f"{UUID(bytes=transfer_id)}, verdict {verdict}: the results "
                        f"topic has {[v for _, v in there] or 'nothing'}",
                    )
        for offset in seen:
            trace.evidence.broken(
                "I8",
                f"a result for {trace.topic}[{partition}]@{offset}: no such record",
            )
