"""Compares the results topic with the verdicts worked out from the ledger (I8).

Results of one partition come in any order among the results topic's partitions. So both
sides are folded into a count and an order-free sum of hashes per window of offsets:
memory is bounded by the windows, and a window that differs is read again, by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

from consumers.bank.audit.report import Evidence
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.trace import Trace
from once.errors import OnceError
from once.published import ID_BYTES, Published, PublishedReader
from once.registry import Registry

WINDOW = 65_536
WINDOWS_NAMED_MAX = 4
_MASK = 2**64 - 1
_KEYS = [np.uint64(secrets.randbits(64) | 1) for _ in range(6)]
NO_EMITTER = bytes(ID_BYTES)

Window = tuple[int, int]  # partition, offset // WINDOW
Said = tuple[bytes, int, bytes | None]  # transfer_id, verdict, emitter


class Results:
    """Reads the results topic."""

    def __init__(self, topics: Topics, topic: str, registry: Registry) -> None:
        self._topics = topics
        self._topic = topic
        self._reader = PublishedReader(registry)
        self._ends = {
            partition: topics.decided_ends(topic, partition)
            for partition in topics.partitions(topic)
        }

    def read(self, evidence: Evidence) -> Iterator[Published]:
        """What every committed results record says.

        What is none, whoever wrote it there, is named and passed over.
        """
        for partition, (low, end) in self._ends.items():
            for messages in self._topics.read(self._topic, partition, low, end):
                for message in messages:
                    try:
                        found = self._reader.read(message.value())
                        if message.key() != found.emitter:
                            raise ValueError("another key than its emitter")
                        yield found
                    except OnceError:
                        raise  # the registry is away
                    except Exception as error:  # whatever the bytes provoke
                        evidence.broken(
                            "I8",
                            f"{self._topic}[{partition}]@{message.offset()} is no "
                            f"results record: {error!r:.200}",
                        )


class Fold:
    """One side, folded by window: a count, and a sum of hashes without order."""

    def __init__(self, begins: Mapping[int, int], due: Mapping[int, int]) -> None:
        """By partition, where the log begins, and the group's offset: both sides must
        have what lies between."""
        self.begins = begins
        self.due = due
        self.windows: dict[Window, tuple[int, int]] = {}

    def add(
        self,
        partition: int,
        offsets: npt.NDArray[np.int64],
        ids: bytes,
        verdicts: npt.NDArray[np.int64],
        emitters: Sequence[bytes | None],
    ) -> None:
        """These records have these results; `ids` has 16 bytes of each."""
        begin, due = self._range(partition)
        senders = b"".join(NO_EMITTER if each is None else each for each in emitters)
        hashes = _hashes(offsets, ids, verdicts, senders)
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
    offsets: npt.NDArray[np.int64],
    ids: bytes,
    verdicts: npt.NDArray[np.int64],
    emitters: bytes,
) -> npt.NDArray[np.uint64]:
    """64 bits of each record, by a function that nobody knew before this audit.

    Multiplied and folded between the parts (as splitmix64 does), so that two records
    that swap a part do not sum to the same.
    """
    halves, senders = (
        np.frombuffer(each, ">u8").reshape(-1, 2).astype(np.uint64)
        for each in (ids, emitters)
    )
    parts = (
        offsets.astype(np.uint64),
        halves[:, 0],
        halves[:, 1],
        verdicts.astype(np.uint64),
        senders[:, 0],
        senders[:, 1],
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
    found: dict[Window, dict[int, list[Said]]] = {w: {} for w in windows}
    for partition, offsets, ids, verdicts, _, emitter in results.read(Evidence()):
        for row, (offset, verdict) in enumerate(
            zip(offsets.tolist(), verdicts.tolist(), strict=True)
        ):
            window = found.get((partition, offset // WINDOW))
            if window is not None and expected.covers(partition, offset):
                mine = ids[row * ID_BYTES : (row + 1) * ID_BYTES]
                window.setdefault(offset, []).append((mine, verdict, emitter))
    for (partition, index), seen in found.items():
        end = min((index + 1) * WINDOW, expected.due[partition])
        start = max(index * WINDOW, expected.begins.get(partition, 0))
        for judged in trace.judged(partition, start, end, Evidence()):
            rows = zip(judged.ids, judged.verdicts, judged.senders, strict=True)
            for offset, due in zip(judged.offsets.tolist(), rows, strict=True):
                there = seen.pop(offset, [])
                if there != [due]:
                    where = f"{trace.topic}[{partition}]@{offset}"
                    trace.evidence.broken("I8", _wrong(where, due, there))
        for offset in seen:
            trace.evidence.broken(
                "I8",
                f"a result for {trace.topic}[{partition}]@{offset}: no such record",
            )


def _wrong(where: str, due: Said, there: Sequence[Said]) -> str:
    """What the results topic says instead of what it must say."""
    transfer_id, verdict, emitter = due
    here = f"{where}, transfer {UUID(bytes=transfer_id)}, verdict {verdict}"
    if [said[:2] for said in there] == [(transfer_id, verdict)]:
        told = there[0][2]
        names = [
            str(UUID(bytes=each)) if each else "nobody" for each in (told, emitter)
        ]
        return f"{here}: the results topic tells it to {names[0]}, not to {names[1]}"
    return f"{here}: the results topic has {[v for _, v, _ in there] or 'nothing'}"
