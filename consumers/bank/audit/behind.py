"""What an audit leaves out, since it is not applied or not told yet, and since when.

Nothing of it breaks an invariant; a Bank that stands still shows here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import BaseModel

from consumers.bank.audit.topics import Topics


class Behind(BaseModel):
    """Counts are by offsets, which markers take, too: at most so many."""

    waiting: int = 0  # records of the log that are not applied
    waiting_seconds: float = 0.0  # since the oldest of them is in the log
    unpublished: int = 0  # records that are applied, and whose results are not told
    unpublished_seconds: float = 0.0

    def __str__(self) -> str:
        parts = []
        if self.waiting:
            age = f"the oldest in the log for {self.waiting_seconds:,.1f} s"
            parts.append(f"up to {self.waiting:,} records are not applied, {age}")
        if self.unpublished:
            age = f"the oldest in the log for {self.unpublished_seconds:,.1f} s"
            told = f"results of up to {self.unpublished:,} records are not published"
            parts.append(f"{told}, {age}")
        return f"not audited: {'; '.join(parts)}" if parts else ""


class _Part(NamedTuple):
    """Records of one partition that are left out."""

    partition: int
    first: int
    until: int


class Applied(NamedTuple):
    """How far a partition is applied, and up to where nothing but markers follows."""

    until: int
    batch_number: int
    seen_until: int


def behind(
    topics: Topics,
    topic: str,
    applied: Mapping[int, Applied],
    told: Mapping[int, int],
) -> Behind:
    """By partition, how far the ledger is and how far results are told.

    A partition that the ledger does not know is waiting from its beginning. Raises
    Retriable.
    """
    waiting, unpublished = [], []
    for partition in topics.partitions(topic):
        low, end = topics.ends(topic, partition)
        until, _, seen_until = applied.get(partition, Applied(low, 0, low))
        waiting.append(_Part(partition, max(low, seen_until), end))
        due = max(low, told.get(partition, low))
        unpublished.append(_Part(partition, due, until))
    count, seconds = _oldest(topics, topic, waiting)
    untold, untold_seconds = _oldest(topics, topic, unpublished)
    return Behind(
        waiting=count,
        waiting_seconds=seconds,
        unpublished=untold,
        unpublished_seconds=untold_seconds,
    )


def _oldest(topics: Topics, topic: str, parts: Iterable[_Part]) -> tuple[int, float]:
    """How many offsets, and the age of the oldest record in them; 0: none is one."""
    count, oldest = 0, float("inf")
    for partition, first, until in parts:
        messages = next(topics.read(topic, partition, first, until), None)
        if messages:
            count += until - messages[0].offset()
            oldest = min(oldest, messages[0].timestamp()[1] / 1000)
    return count, round(max(0.0, time.time() - oldest), 1) if count else 0.0
