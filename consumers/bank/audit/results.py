"""Compares the results topic with the verdicts worked out from the ledger (I8).

Results of one partition come in any order among the results topic's partitions. So both
sides are folded into a count and an order-free sum of hashes per window of offsets:
memory is bounded by the windows, and a window that differs is read again, by name.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import fastavro

from consumers.bank.audit.report import Evidence
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.trace import Judged, Trace
from once.errors import OnceError
from once.registry import FRAME_BYTES, Registry, schema_id_of

WINDOW = 65_536
WINDOWS_NAMED_MAX = 4
_MASK = 2**64 - 1

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


@dataclass(slots=True)
class Comparison:
    """Both sides, folded by window; equal sides leave every window at zero."""

    begins: dict[int, int]  # by partition, where the log of the input topic begins
    published: dict[int, int]  # group offset by partition: results are due below it
    counts: dict[Window, int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[Window, int] = field(default_factory=lambda: defaultdict(int))

    def expect(self, partition: int, judged: Judged) -> None:
        """These records must have these results."""
        self._fold(
            partition, zip(judged.offsets, judged.ids, judged.verdicts, strict=True), 1
        )

    def found(self, partition: int, results: Iterable[Result]) -> None:
        """These results were published."""
        self._fold(partition, results, -1)

    def covers(self, partition: int, offset: int) -> bool:
        """Whether both sides must have this record: it is there, and published."""
        begin, due = self.begins.get(partition, 0), self.published.get(partition, 0)
        return begin <= offset < due

    def differing(self) -> list[Window]:
        """The windows in which something is missing, too much or different."""
        return sorted(w for w in self.counts if self.counts[w] or self.sums[w])

    def _fold(self, partition: int, results: Iterable[Result], sign: int) -> None:
        for result in results:
            if self.covers(partition, result[0]):
                window = (partition, result[0] // WINDOW)
                self.counts[window] += sign
                self.sums[window] = (self.sums[window] + sign * hash(result)) & _MASK


def check(comparison: Comparison, results: Results, trace: Trace) -> None:
    """Compare, and name what differs."""
    evidence = trace.evidence
    for partition, found in results.read(evidence):
        comparison.found(partition, found)
        evidence.saw("I8", len(found))
        if partition not in comparison.published:
            evidence.broken(
                "I8", f"{found}: {trace.topic} has no partition {partition}"
            )
    windows = comparison.differing()
    for window in windows[WINDOWS_NAMED_MAX:]:
        evidence.broken(
            "I8", f"results differ in partition {window[0]}, window {window}"
        )
    if windows:
        _name(windows[:WINDOWS_NAMED_MAX], comparison, results, trace)


def _name(
    windows: list[Window], comparison: Comparison, results: Results, trace: Trace
) -> None:
    """Read the differing windows again and say what is wrong record by record."""
    found: dict[Window, dict[int, list[tuple[bytes, int]]]] = {w: {} for w in windows}
    for partition, mine in results.read(Evidence()):
        for offset, transfer_id, verdict in mine:
            window = found.get((partition, offset // WINDOW))
            if window is not None and comparison.covers(partition, offset):
                window.setdefault(offset, []).append((transfer_id, verdict))
    for (partition, index), seen in found.items():
        end = min((index + 1) * WINDOW, comparison.published[partition])
        start = max(index * WINDOW, comparison.begins.get(partition, 0))
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
