"""Holds a Store's acknowledgement log against the ledger (I1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID

from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.trace import Trace

IDS_PER_LOOKUP = 10_000


def absent(log: Path, snapshot: Snapshot, evidence: Evidence) -> set[bytes]:
    """Ids in the log that no row of the ledger has."""
    missing: set[bytes] = set()
    with log.open() as lines:
        for ids in _chunks(lines):
            missing |= snapshot.absent(ids)
            evidence.saw("I1", len(ids))
    return missing


def check(missing: set[bytes], trace: Trace, positions: dict[int, int]) -> None:
    """Those must be in Kafka beyond the positions, or set aside.

    Ids whose record went to quarantine are found there by their record in the log.
    """
    if missing:
        _look_for(missing, trace, positions)
    for transfer_id in sorted(missing):
        trace.evidence.broken(
            "I1",
            f"transfer {UUID(bytes=transfer_id)} was acknowledged and is not in the "
            "ledger or in quarantine, nor waiting in the log",
        )


def _chunks(lines: Iterable[str]) -> Iterator[list[bytes]]:
    ids = (bytes.fromhex(line.replace("-", "")) for line in lines if line.strip())
    while chunk := list(islice(ids, IDS_PER_LOOKUP)):
        yield chunk


def _look_for(missing: set[bytes], trace: Trace, positions: dict[int, int]) -> None:
    """Take out of `missing` what is waiting in the log, or was set aside."""
    topics = trace.topics
    for partition in topics.partitions(trace.topic):
        low, end = topics.decided_ends(trace.topic, partition)
        due = positions.get(partition, 0)
        for messages in topics.read(trace.topic, partition, low, end):
            values = [message.value() for message in messages]
            columns, _ = trace.codec.decode(values, [m.key() for m in messages])
            for message, transfer_id in zip(
                messages, columns["transfer_id"], strict=True
            ):
                if message.offset() >= due:
                    missing.discard(transfer_id)
                elif transfer_id in missing and trace.snapshot.quarantined(
                    trace.topic, partition, message.offset(), message.offset()
                ):
                    missing.discard(transfer_id)
