"""Reads the assigned partitions: consumer, membership, rebalances and waiting.

What it means to own a partition is the session's business: it is told of partitions
given and taken from within `poll`, as librdkafka calls back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from consumers.bank import batch
from consumers.bank.batch import Records, Slice
from consumers.bank.consumer import consumer_settings
from consumers.bank.observe import Observer
from consumers.bank.position import Position
from consumers.bank.settings import BankSettings
from once import kafka, logs
from once.errors import Fenced, Refused, Retriable

log = logs.get(__name__)

CLOSE_SECONDS_MAX = 60.0
IDLE_SECONDS = 0.1  # a poll that finds nothing: signals and checks wait so long

_UNREADABLE = {
    KafkaError._BAD_COMPRESSION: "cannot be decompressed: is it larger than "
    f"{kafka.DECOMPRESSED_BYTES_MAX:,} bytes when plain?",
    KafkaError._BAD_MSG: "is no valid batch",
    KafkaError._NOT_IMPLEMENTED: "is in a form that this client does not know",
}


class Owner(Protocol):
    """Whoever is told what is read and what is not any more."""

    def given(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """Where to begin in each partition; None: own it, but do not read it."""

    def taken(self, partitions: Sequence[int]) -> None:
        """They are somebody else's from now on."""


class Phase(Enum):
    """What the thread that polls is doing."""

    READING = auto()  # and whatever follows from what was read
    WAITING = auto()  # for something that is away: nothing new is started
    REBALANCING = auto()  # inside a callback: it must not poll again
    CLOSED = auto()


class Reading:
    """A consumer, and how far each of its partitions was read."""

    def __init__(self, settings: BankSettings, observer: Observer) -> None:
        """Raises Defect when the settings of the client are wrong."""
        self._topic = settings.topic
        self._interval_seconds = settings.batch_interval_ms / 1000
        self._due_at = 0.0  # when the next batch may begin
        self._observer = observer
        self._phase = Phase.READING
        self._changed = False
        self._owner: Owner | None = None
        self.consumer = kafka.client(
            Consumer, consumer_settings(settings), observer.trouble
        )
        self.next: dict[int, int] = {}  # the next offset to read
        self.ends: dict[int, int] = {}  # the end of the log, where it was reached
        self.membership: Any = None
        self._kept: list[Any] = []  # messages that were polled and are not given out

    def subscribe(self, owner: Owner) -> None:
        """Begin to take part in the group."""
        self._owner = owner
        self.consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def close(self) -> None:
        """Leave the group; no callback starts anything any more."""
        self._phase = Phase.CLOSED
        with self._observer.within(CLOSE_SECONDS_MAX, "closing the consumer"):
            self.consumer.close()

    # -- records ----------------------------------------------------------------------

    @property
    def early_seconds(self) -> float:
        """How long the next batch has to wait, for more to come together."""
        return max(0.0, self._due_at - time.monotonic())

    def poll(self, records_max: Callable[[], int], idle_seconds: float) -> list[Any]:
        """Messages without error, after so long at most if there are none.

        `records_max()` may become less while partitions are assigned within the poll:
        what is too much then is kept for the next one. Raises Retriable, Refused,
        Fenced.
        """
        try:
            # Callbacks are served in any case; what is kept comes before what is new.
            polled = self.consumer.consume(1, 0 if self._kept else idle_seconds)
            if polled and not self._kept and (more := records_max() - 1):
                self._kept = polled  # a partition that is taken now takes its own along
                rest = self.consumer.consume(more, self.early_seconds)
                polled, self._kept = self._kept + rest, []
        except KafkaException as error:
            raise Retriable(f"while reading {self._topic}: {error}") from error
        came = self._kept + polled
        messages = [m for m in came if m.error() is None]
        if len(messages) < len(came):
            for message in came:
                if message.error() is not None and not self._is_passed_over(message):
                    raise self._meaning(message)
        self._note_membership()
        most = records_max()
        messages, self._kept = messages[:most], messages[most:]
        if messages:
            self._due_at = time.monotonic() + self._interval_seconds
        for message in self._kept:
            self.ends.pop(message.partition(), None)  # not all below it is given out
        return messages

    def _is_end(self, message: Any) -> bool:
        error = message.error()
        if error is None or error.code() != KafkaError._PARTITION_EOF:
            return False
        self.ends[message.partition()] = message.offset()
        return True

    def _is_passed_over(self, message: Any) -> bool:
        """An end, or what is wrong with a partition that is refused, so is not read.

        It is assigned, then paused: a fetch between the two may find its offset gone.
        """
        partition = message.partition()
        known = partition is not None and partition >= 0
        return self._is_end(message) or (known and partition not in self.next)

    def _meaning(self, message: Any) -> Exception:
        error, partition = message.error(), message.partition()
        what = _UNREADABLE.get(error.code())
        if what is None or partition is None or partition < 0:
            return Retriable(
                f"while reading {self._topic}: {error.str()}{self._observer.trouble}"
            )
        return Refused(
            f"{self._topic}[{partition}]: the batch at or behind offset "
            f"{self.next.get(partition)} {what} ({error.str()}); the other partitions "
            "go on; see docs/runbooks/partition-refused.md",
            partition,
        )

    def sort(
        self, messages: Sequence[Any], begun_at: Mapping[int, int]
    ) -> tuple[list[Records], list[Records]]:
        """Records below the position when we began, and the others.

        Records of partitions that are not ours (any more), and those that were read
        before, are passed over: librdkafka can deliver both around a rebalance.
        """
        old: list[Records] = []
        new: list[Records] = []
        for records in batch.group(messages, self._observer.traces_enabled):
            due = self.next.get(records.partition)
            if due is None:
                continue
            _, records = records.split(due)
            if not records.offsets:
                continue
            self.next[records.partition] = records.offsets[-1] + 1
            parts = records.split(begun_at[records.partition])
            for part, kind in zip(parts, (old, new), strict=True):
                if part.offsets:
                    kind.append(part)
        return old, new

    def pause(self, partitions: Iterable[int]) -> None:
        """Give out nothing more of these for now. Raises Retriable."""
        self._call(self.consumer.pause, partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        """Go on with these. Raises Retriable."""
        self._call(self.consumer.resume, partitions)

    def _call(
        self, change: Callable[[list[TopicPartition]], None], partitions: Iterable[int]
    ) -> None:
        changed = [TopicPartition(self._topic, p) for p in partitions]
        try:
            if changed:
                change(changed)
        except KafkaException as error:
            raise Retriable(f"while pausing partitions: {error}") from error

    def finished(self, positions: Mapping[int, Position]) -> list[int]:
        """Partitions of which everything up to the end of the log is applied."""
        return [
            partition
            for partition, position in positions.items()
            if self.ends.get(partition, -1) >= position.next_offset
            if self.next.get(partition) == position.next_offset
        ]

    def mark_ends(self, slices: Sequence[Slice]) -> None:
        """Tell each slice behind which the log was read how far."""
        for piece in slices:
            if self.next.get(piece.partition) == piece.next_offset:
                piece.seen_until = self.ends.get(piece.partition, 0)

    def ahead(self, positions: Mapping[int, Position]) -> dict[int, int]:
        """Ends of the log that were reached, where the ledger does not know it yet."""
        return {
            partition: self.ends[partition]
            for partition in self.finished(positions)
            if self.ends[partition] > positions[partition].seen_until
        }

    # -- waiting ----------------------------------------------------------------------

    def wait(self, seconds: float, why: str) -> None:
        """Stay in the group while something is away; a rebalance ends the session."""
        self._observer.waiting(why)
        if self._phase is Phase.REBALANCING:
            raise Retriable(f"cannot wait in a rebalance: {why}")
        owned = [TopicPartition(self._topic, p) for p in self.next]
        until = time.monotonic() + seconds
        self._phase = Phase.WAITING
        try:
            self.consumer.pause(owned)
            while (left := until - time.monotonic()) > 0:
                self._observer.progress.beat()
                came = self.consumer.consume(1, left)
                if self._changed or not all(map(self._is_end, came)):
                    raise Retriable(
                        "the assignment changed, or a record came, while waiting"
                    )
                self._observer.check_stop()
            self.consumer.resume(owned)
        except KafkaException as error:
            raise Retriable(f"while waiting: {error}") from error
        finally:
            self._phase = Phase.READING

    # -- partitions -------------------------------------------------------------------

    def forget(self, partitions: Iterable[int]) -> None:
        """Pass over whatever still comes of them."""
        gone = set(partitions)
        for partition in gone:
            self.next.pop(partition, None)
            self.ends.pop(partition, None)
        self._kept = [m for m in self._kept if m.partition() not in gone]

    def _assign(self, starts: Mapping[int, int | None]) -> None:
        # A refused one at a plain offset: one that must be looked up (the end) could be
        # found later, and override the start that it is given when it is mended.
        self.consumer.incremental_assign(
            [TopicPartition(self._topic, p, start or 0) for p, start in starts.items()]
        )
        self.pause(p for p, start in starts.items() if start is None)
        read = {p: start for p, start in starts.items() if start is not None}
        self.resume(read)  # a pause outlives the assignment that it was made in
        self.next.update(read)

    # -- rebalances (called from within consume, which raises what they raise) --------
    #
    # While the session waits for something, they only note that the assignment changed:
    # `wait` ends the session then, and the next one is given the partitions anew.

    def _on_assign(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        if self._phase is not Phase.READING or self._owner is None:
            self._changed = self._changed or bool(given)
            return
        self._note_membership()
        if not given:
            return
        partitions = [tp.partition for tp in given]
        self._phase = Phase.REBALANCING
        try:
            starts = self._owner.given(partitions)
        finally:
            self._phase = Phase.READING
        self._assign(starts)
        log.info("partitions assigned", partitions=partitions)

    def _on_revoke(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        if self._phase is not Phase.READING or self._owner is None:
            self._changed = True
            return
        self._note_membership()
        partitions = [tp.partition for tp in taken]
        self._phase = Phase.REBALANCING
        try:
            self._owner.taken(partitions)
        finally:
            self._phase = Phase.READING
        log.info("partitions revoked", partitions=partitions)
        self.forget(partitions)
        consumer.incremental_unassign(taken)

    def _on_lost(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        self._changed = True
        if self._phase is Phase.READING:  # settling is of no use: others own them
            raise Fenced("the group went on without this worker")

    def _note_membership(self) -> None:
        """Take the group metadata of now, for the publisher.

        Only here, in the thread that polls: elsewhere the call hangs in a rebalance. A
        member that was thrown out is reset by librdkafka to no member at all, whose
        offsets the broker would accept: so it is checked around the reading.
        """
        member = self.consumer.memberid()
        metadata = self.consumer.consumer_group_metadata()
        if member and self.consumer.memberid() == member:
            self.membership = metadata
        elif self.next:
            raise Fenced("this worker is not a member of its group any more")
