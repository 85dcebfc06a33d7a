"""Reads what the log said before the follower began, into the index.

The youngest hours first: clients ask for those. What the index has is not read again;
so after a start with a kept index this is what came meanwhile, and after a damage what
the damaged file had. It takes at most half of the time: requests come first.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from once import logs
from once.backoff import pauses
from once.errors import OnceError, Retriable
from once.kafka import passes
from producers.store.facts import Range, missing
from producers.store.followed import Followed, Where, consumed
from producers.store.follower import Follower, News
from producers.store.index import Index
from producers.store.reading import Delivered
from producers.store.topics import REQUEST_SECONDS

log = logs.get(__name__)

LOOK_SECONDS = 0.2  # whether there is something to do


class Filler:
    """A thread that makes the index whole, and again when it loses a part."""

    def __init__(
        self,
        followed: Followed,
        index: Index,
        *,
        follower: Follower,
        news: News,
        failed: Callable[[OnceError], None],
    ) -> None:
        """`failed` is told, in the thread, when it cannot go on."""
        self._followed = followed
        self._follower = follower
        self._reader = followed.reader()
        self._index = index
        self._news = news
        self._failed = failed
        self._filling = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filler", daemon=True)

    def start(self) -> None:
        """Begin to fill."""
        self._thread.start()

    def close(self) -> None:
        """Stop after what is being read."""
        self._stop.set()
        self._thread.join()

    def check(self) -> str | None:
        """Why the index may lack what is older than this Store; None: it does not."""
        if self._filling or self._index.incomplete.is_set():
            return "older hours are still being read"
        return None

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_SECONDS):
                if self._follower.begun.is_set() and self.check() is not None:
                    self._fill()
        except OnceError as error:
            self._failed(error)
        except Exception as error:  # a Store that lives on would lack them for ever
            log.exception("the filler ended")
            self._failed(OnceError(f"the filler ended, unforeseen: {error!r}"))

    def _fill(self) -> None:
        delays = pauses()
        self._filling = True
        while self._filling and not self._stop.is_set():
            self._index.incomplete.clear()  # set again, if something is lost meanwhile
            consumer = self._followed.consumer()
            try:
                records = self._fill_from(consumer)
                self._filling = self._index.incomplete.is_set()
                log.info("older hours are read", records=records)
            except (KafkaException, Retriable, sqlite3.Error, OSError) as error:
                consumer.poll(0)  # else what was said of the connection is not heard
                said = f"{error}{self._followed.trouble}"
                log.warning("cannot read older hours, trying again", error=said)
                self._stop.wait(next(delays))
            finally:
                consumer.close()

    def _fill_from(self, consumer: Consumer) -> int:
        """Read what is missing, a part of the index at a time; how many records."""
        places = self._followed.places(self._followed.topics())
        # All before that is in the index by now, or lost, or was never read.
        reached = self._follower.reached()
        until = {where: reached.get(place, 0) for where, place in places.items()}
        began_seconds = (
            int(time.time() // self._index.part_seconds) * self._index.part_seconds
        )
        records = 0
        while (
            began_seconds + self._index.part_seconds > self._index.kept_since_seconds()
        ):
            since = _offsets_at(consumer, until, began_seconds)
            held = self._index.ranges()
            gaps = [
                (where, gap)
                for where, place in places.items()
                for gap in missing(Range(place, since[where], until[where]), held)
            ]
            while gaps and not self._stop.is_set():
                if not self._index.has_room():
                    log.warning("older hours are not read: STORE_INDEX_BYTES_MAX")
                    return records
                some = dict(reversed(gaps))  # one of each partition, the first ones
                gaps = [each for each in gaps if some[each[0]] != each[1]]
                records += self._read(consumer, some, began_seconds)
            until = since
            began_seconds -= self._index.part_seconds
        return records

    def _read(
        self, consumer: Consumer, gaps: Mapping[Where, Range], began_seconds: int
    ) -> int:
        """Read these ranges into one part; how many records."""
        left, count = dict(gaps), 0
        consumer.assign([TopicPartition(*w, gap.first) for w, gap in left.items()])
        while left and not self._stop.is_set() and self._index.has_room():
            messages = consumed(consumer)
            began = time.monotonic()
            records, reached = within(consumer, messages, left)
            facts = self._reader.read(records)
            ranges = [left[where]._replace(end=end) for where, end in reached.items()]
            if ranges:
                self._index.write(facts, ranges, at_seconds=began_seconds)
                self._news.tell(facts)
            done = [where for where, end in reached.items() if end >= left[where].end]
            for where, end in reached.items():
                left[where] = left[where]._replace(first=end)
            for where in done:
                del left[where]
            if done:
                consumer.incremental_unassign([TopicPartition(*w) for w in done])
            count += len(records)
            self._stop.wait(time.monotonic() - began)  # the other half of the time
        return count


def within(
    consumer: Consumer, messages: Sequence[Delivered], gaps: Mapping[Where, Range]
) -> tuple[list[Delivered], dict[Where, int]]:
    """The records that lie in the gaps, and up to where each gap is read now."""
    records: list[Delivered] = []
    reached: dict[Where, int] = {}
    for message in messages:
        where = (message.topic(), message.partition())
        gap, error = gaps.get(where), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if not passes(error):
                raise KafkaException(error)
        elif gap is None:
            continue  # it came before it was given up
        elif error is not None:
            at_end = message.offset() >= gap.end or _is_shorter(consumer, where, gap)
            reached[where] = gap.end if at_end else reached.get(where, gap.first)
        elif message.offset() >= gap.end:
            reached[where] = gap.end
        else:
            records.append(message)
            reached[where] = message.offset() + 1
    return records, reached


def _is_shorter(consumer: Consumer, where: Where, gap: Range) -> bool:
    """Whether the log ends before the gap does: it was made anew, or lost its end."""
    _, end = consumer.get_watermark_offsets(TopicPartition(*where), REQUEST_SECONDS)
    return bool(end < gap.end)


def _offsets_at(
    consumer: Consumer, until: Mapping[Where, int], since_seconds: int
) -> dict[Where, int]:
    """The first offsets of that Unix time, but not after `until`."""
    asked = [TopicPartition(*where, since_seconds * 1000) for where in until]
    starts = consumer.offsets_for_times(asked, REQUEST_SECONDS)
    offsets: dict[Where, int] = {}
    for each in starts:
        where = (each.topic, each.partition)
        if each.error is not None:
            raise KafkaException(each.error)
        none_since = each.offset == OFFSET_END
        offsets[where] = until[where] if none_since else min(each.offset, until[where])
    return offsets
