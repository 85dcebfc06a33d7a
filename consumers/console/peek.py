"""Follows a topic and says of each record whether it is committed, aborted or open.

Two readers go over the same offsets (see states.py); this module runs them and decides
when a record has waited long enough to be shown as open. In following, a record that
was shown as open is shown again once its state is final, so the last word on an offset
is the right one. Partitions that are added meanwhile are not noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import Message

from consumers.console.reader import Reader
from consumers.console.states import PartitionStates, Sighting
from once.errors import Defect, Retriable

Start = Literal["beginning", "end"] | int  # an offset; negative: so many before the end

READ_SECONDS = 0.05
OPEN_AFTER_SECONDS = 0.5  # most transactions end sooner, and are shown once
STABLE_OFFSET_EVERY_SECONDS = 0.5
SILENCE_SECONDS_MAX = 30.0
AHEAD_RECORDS_MAX = 10_000  # per partition; bounds memory


@dataclass(frozen=True, slots=True)
class Request:
    """What to read. `partition` None is all of them, `count` None no limit."""

    topic: str
    start: Start = "end"
    partition: int | None = None
    count: int | None = None
    follow: bool = True


def start_offset(start: Start, first: int, end: int) -> int:
    """Where to begin in a log that holds `first` to before `end`."""
    if start == "beginning":
        return first
    if start == "end":
        return end
    return min(max(end + start if start < 0 else start, first), end)


def peek(kafka: Mapping[str, Any], request: Request) -> Iterator[Sighting[Message]]:
    """The records with their states, in offset order within a partition.

    Without `follow` it ends at what was the end of the log at the start. Raises Defect
    (a topic, partition or offset that is not there) and Retriable (brokers away).
    """
    with (
        Reader(kafka, request.topic, "read_uncommitted") as everything,
        Reader(kafka, request.topic, "read_committed") as committed,
    ):
        states = _begin(everything, committed, request)
        yield from _Run(request, everything, committed, states).sightings()


def newest(
    kafka: Mapping[str, Any], topic: str, count: int, partition: int | None = None
) -> list[Sighting[Message]]:
    """The newest records by their time, the oldest of them first; raises as `peek`."""
    # Twice as many offsets: every transaction ends with a marker, which has one, too.
    request = Request(topic, -2 * count, partition, follow=False)
    found = sorted(peek(kafka, request), key=lambda each: each.record.timestamp()[1])
    return found[-count:]


def _begin(
    everything: Reader, committed: Reader, request: Request
) -> dict[int, PartitionStates[Message]]:
    """Start both readers at the same offsets."""
    partitions = everything.partitions()
    if request.partition is not None:
        if request.partition not in partitions:
            raise Defect(
                f"topic {request.topic} has no partition {request.partition}; it has"
                f" {partitions[0]} to {partitions[-1]}"
            )
        partitions = [request.partition]
    offsets, states = {}, {}
    for partition in partitions:
        first, end = everything.bounds(partition)
        offsets[partition] = start_offset(request.start, first, end)
        states[partition] = PartitionStates[Message](
            offsets[partition], None if request.follow else end
        )
    everything.start(offsets)
    committed.start(offsets)
    return states


class _Run:
    """One run of both readers."""

    def __init__(
        self,
        request: Request,
        everything: Reader,
        committed: Reader,
        states: dict[int, PartitionStates[Message]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = request
        self._everything = everything
        self._committed = committed
        self._states = states
        self._clock = clock
        self._heard_at = clock()
        self._asked_at = dict.fromkeys(states, clock() - STABLE_OFFSET_EVERY_SECONDS)

    def sightings(self) -> Iterator[Sighting[Message]]:
        """Until the count or the end is reached."""
        left = self._request.count
        while not all(states.complete for states in self._states.values()):
            self._read()
            for partition, states in self._states.items():
                for sighting in self._settled(partition, states):
                    yield sighting
                    if left is not None and not sighting.again:
                        left -= 1
                        if left == 0:
                            return
                self._everything.hold(
                    partition, states.waiting_count, AHEAD_RECORDS_MAX
                )
                self._committed.hold(partition, states.ahead_count, AHEAD_RECORDS_MAX)
            self._watch()

    def _read(self) -> None:
        steps = self._everything.read(READ_SECONDS)
        now = self._clock()
        for step in steps:
            states = self._states[step.partition]
            if step.message is None:
                states.read_up_to(step.offset)
            else:
                states.read(step.offset, step.message, now)
        passed = self._committed.read(READ_SECONDS)
        for step in passed:
            states = self._states[step.partition]
            if step.message is None:
                states.passed_up_to(step.offset)
            else:
                states.committed(step.offset)
        if steps or passed:
            self._heard_at = now

    def _settled(
        self, partition: int, states: PartitionStates[Message]
    ) -> Iterator[Sighting[Message]]:
        """What can be said of a partition's records now."""
        yield from states.decided()
        now = self._clock()
        # At the end of a bounded run nothing is gained by waiting.
        patience = 0.0 if states.read_to_end else OPEN_AFTER_SECONDS
        since = states.unshown_since_seconds
        if since is None or since > now - patience:
            return
        if now - self._asked_at[partition] < STABLE_OFFSET_EVERY_SECONDS:
            return
        self._asked_at[partition] = now
        try:
            _, stable_offset = self._committed.bounds(partition)
        except Retriable:
            return  # not known now; asked again
        yield from states.open_at(stable_offset, now - patience)

    def _watch(self) -> None:
        """Give up a bounded run when no broker says anything any more."""
        silence = self._clock() - self._heard_at
        if not self._request.follow and silence > SILENCE_SECONDS_MAX:
            raise Retriable(
                f"topic {self._request.topic}: nothing was heard from the brokers for"
                f" {SILENCE_SECONDS_MAX:.0f} seconds{self._everything.trouble}"
            )
