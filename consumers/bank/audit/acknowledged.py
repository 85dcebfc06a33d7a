"""Holds a Store's acknowledgement log against the ledger (I1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID

from consumers.bank.audit.trace import Trace

IDS_PER_LOOKUP = 10_000


def check(log: Path, trace: Trace, positions: dict[int, int]) -> None:
    """Every id in the log must be in the ledger, or in Kafka beyond the positions.

    Ids whose record went to quarantine are found there by their record in the log.
    """
    missing: set[bytes] = set()
    with log.open() as lines:
        for ids in _chunks(lines):
            missing |= trace.snapshot.absent(ids)
            trace.evidence.saw("I1", len(ids))
    if missing:
        _look_for(missing, trace, positions)
    for transfer_id in sorted(missing):
        trace.evidence.broken(
            "I1",
            f"transfer {UUID(bytes=transfer_id)} was acknowledged and is not in the "
            "ledger or in quarantine, nor waiting in the log",
        )


def _chunks(lines: Iterable[str]) -> Iterator[list[bytes]]:
    ids = (UUID(line.strip()).bytes for line in lines if line.strip())
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
