"""Holds a Store's acknowledgement log against the ledger (I1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID

from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.trace import Trace
from once.errors import Defect

IDS_PER_LOOKUP = 10_000
LINE_CHARS = 36
_CUT_SHORT = "0123456789abcdef-\n"


def absent(log: Path, snapshot: Snapshot, evidence: Evidence) -> set[bytes]:
    """Ids in the log that no row of the ledger has. Raises Defect for another file."""
    missing: set[bytes] = set()
    with log.open(errors="replace") as lines:
        for ids in _chunks(_ids(log, lines, evidence)):
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


def _ids(log: Path, lines: Iterable[str], evidence: Evidence) -> Iterator[bytes]:
    """What the lines name. One that was cut short names nothing, and is noted.

    It is being written just now, or its Store died, or had no disk left, meanwhile.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            octets = bytes.fromhex(line.replace("-", ""))
        except ValueError:
            octets = b""
        if len(octets) == 16:
            yield octets
        elif len(line.strip()) < LINE_CHARS and not set(line) - set(_CUT_SHORT):
            evidence.notes.append(f"line {number} of {log} is cut short and left out")
        else:
            raise Defect(
                f"line {number} of {log} is no id of a transfer: {line.strip():.60}; "
                "give --ack-log the file that a Store has written"
            )


def _chunks(ids: Iterator[bytes]) -> Iterator[list[bytes]]:
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
