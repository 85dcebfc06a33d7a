"""What two readers of one partition know together: committed, aborted or still open.

Kafka tells no reader whether a record's transaction was committed. But a reader that
takes everything and one that takes only what is committed, over the same offsets, tell
it between them: what the second passes over was aborted, and from the last stable
offset on it cannot have passed. Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class State(StrEnum):
    """What a reader of committed records would say of a record.

    OPEN: it would wait here. The record's own transaction is open, or an earlier one
    in its partition is, and hides everything behind it until it ends.
    """

    COMMITTED = "committed"
    ABORTED = "aborted"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Sighting(Generic[T]):
    """One record and its state; `again` when it was shown before, as open."""

    record: T
    state: State
    again: bool = False


@dataclass(slots=True)
class _Waiting(Generic[T]):
    offset: int
    record: T
    since_seconds: float


class PartitionStates(Generic[T]):
    """The records of one partition from `start` to before `end`, in offset order."""

    def __init__(self, start: int, end: int | None = None) -> None:
        """`end` None: no end."""
        self._end = end
        self._read_to = start  # the reader of everything has read all before this
        self._passed_to = start  # and so has the reader of what is committed
        self._open: deque[_Waiting[T]] = deque()  # shown as open, not yet decided
        self._waiting: deque[_Waiting[T]] = deque()  # behind these, not shown yet
        self._committed: set[int] = set()  # delivered, and not yet matched

    def read(self, offset: int, record: T, now_seconds: float) -> None:
        """The reader of everything got this record."""
        if offset >= self._read_to and self._inside(offset):
            self._waiting.append(_Waiting(offset, record, now_seconds))
        self.read_up_to(offset + 1)

    def read_up_to(self, offset: int) -> None:
        """The reader of everything has read all before `offset`."""
        self._read_to = max(self._read_to, offset)

    def committed(self, offset: int) -> None:
        """The reader of what is committed got this record."""
        if offset >= self._passed_to and self._inside(offset):
            self._committed.add(offset)
        self.passed_up_to(offset + 1)

    def passed_up_to(self, offset: int) -> None:
        """The reader of what is committed has read or left out all before it."""
        self._passed_to = max(self._passed_to, offset)

    def decided(self) -> Iterator[Sighting[T]]:
        """The records whose state is final, each once, in offset order."""
        for queue in (self._open, self._waiting):
            while queue and queue[0].offset < self._passed_to:
                first = queue.popleft()
                state = State.ABORTED
                if first.offset in self._committed:
                    self._committed.remove(first.offset)
                    state = State.COMMITTED
                yield Sighting(first.record, state, again=queue is self._open)

    def open_at(
        self, stable_offset: int, since_seconds: float
    ) -> Iterator[Sighting[T]]:
        """The records found open, of those that wait since then or longer, each once.

        `stable_offset` is the last stable offset, asked for after they were read. While
        a record before it waits there is none: its state is on the way, and order is
        kept.
        """
        if any(q and q[0].offset < stable_offset for q in (self._open, self._waiting)):
            return
        while self._waiting and self._waiting[0].since_seconds <= since_seconds:
            first = self._waiting.popleft()
            self._open.append(first)
            yield Sighting(first.record, State.OPEN)

    @property
    def unshown_since_seconds(self) -> float | None:
        """Since when the longest waiting of those not shown as open waits."""
        return self._waiting[0].since_seconds if self._waiting else None

    @property
    def complete(self) -> bool:
        """Whether all before the end was read and shown."""
        return self.read_to_end and not self._waiting

    @property
    def read_to_end(self) -> bool:
        """Whether all before the end was read."""
        return self._end is not None and self._read_to >= self._end

    @property
    def waiting_count(self) -> int:
        """How far the reader of everything is ahead, in records."""
        return len(self._open) + len(self._waiting)

    @property
    def ahead_count(self) -> int:
        """How far the reader of what is committed is ahead, in records."""
        return len(self._committed)

    def _inside(self, offset: int) -> bool:
        return self._end is None or offset < self._end
