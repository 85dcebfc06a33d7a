"""Keeps posting batches through conflicts, outages and lost answers.

The COMMIT of one batch runs in the background, so that the caller can poll and decode
the next one meanwhile; `finish` waits for it and settles what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psycopg

from consumers.bank import recall
from consumers.bank.batch import Records, Slice
from consumers.bank.care import Owed
from consumers.bank.codec import Fault
from consumers.bank.database import hang_up, server_of
from consumers.bank.observe import Point
from consumers.bank.position import Position
from consumers.bank.posted import Opened, Posting
from consumers.bank.posting import Poster
from consumers.bank.recall import Recalled
from consumers.bank.trials import Trials
from once import logs, names
from once.backoff import pauses
from once.errors import Conflict, Indeterminate, OnceError, Retriable
from once.metrics import ApplyMetrics, Laps
from once.postgres import from_postgres

log = logs.get(__name__)
T = TypeVar("T")

PROBE_SECONDS = 5.0  # how often a server that keeps us waiting is asked for life

CONFLICTS_IN_A_ROW_MAX = 3  # then pause: somebody is hammering the same accounts


@dataclass(slots=True)
class _InFlight:
    posting: Posting
    committing: Future[float]
    laps: Laps
    told: Sequence[Sequence[int]] | None


class Applier:
    """Posts batches one after the other, each exactly once.

    Between `begin` and `finish` the connection is not free: nothing else is called.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        topic: str,
        *,
        wait: Callable[[float, str], None],
        beat: Callable[[], None],
        metrics: ApplyMetrics,
        reached: Callable[[Point], None],
    ) -> None:
        """`wait(seconds, why)` is called while the database is away; it may raise.

        `beat()` is called while a COMMIT waits, perhaps long, for the standby;
        `reached(point)` between the steps of the protocol.
        """
        self._connect = connect
        self._topic = topic
        self._wait = wait
        self._beat = beat
        self._metrics = metrics
        self._reached = reached
        # Of the partitions that are ours. A poster moves them after its COMMIT, in the
        # thread of that: they are read while nothing is in flight.
        self.positions: dict[int, Position] = {}
        self._asked_at, self._answered = time.monotonic(), True
        self._poster = self._new_poster()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="committer")
        self._waiter = ThreadPoolExecutor(1, thread_name_prefix="waiter")
        self._in_flight: _InFlight | None = None

    @property
    def idle(self) -> bool:
        """Whether no COMMIT is in flight: the connection is free."""
        return self._in_flight is None

    def open(
        self, partitions: Sequence[int], topic_id: str, owed: Mapping[int, Owed]
    ) -> Opened:
        """Open positions, however long the standby takes. Raises OnceError."""
        return self._patiently(lambda: self._poster.open(partitions, topic_id, owed))

    def own(self, positions: Mapping[int, Position]) -> None:
        """These partitions are ours from now on, and applied so far."""
        self.positions.update(positions)

    def drop(self, partitions: Iterable[int]) -> None:
        """These partitions belong to somebody else now."""
        for partition in partitions:
            self.positions.pop(partition, None)
        self._poster.forget()

    def hash_of(self, partition: int, batch_number: int, end: int) -> bytes | None:
        """The chain's hash after a batch that ends there, if any. Raises OnceError."""
        return self._poster.hash_of(partition, batch_number, end)

    def on_trial(self, change: Callable[[Trials], T]) -> T:
        """Change what is noted of batches. Raises OnceError."""
        assert self.idle, "finish() comes first"
        return self._poster.on_trial(change)

    def note_seen(self, seen: Mapping[int, int]) -> None:
        """Remember how far the log was read. Raises Retriable or Defect."""
        assert self.idle, "finish() comes first"
        self._poster.note_seen(seen)

    def unread(self, parts: Sequence[Records]) -> dict[int, dict[int, Fault]]:
        """What must not be decoded again of records that were applied before."""
        return self.retry(lambda: recall.unread(self._poster.ledger, parts))

    def recall(self, slices: Sequence[Slice]) -> Recalled:
        """The verdicts on records that were applied before. Raises Refused."""
        return self.retry(lambda: recall.recall(self._poster.ledger, slices))

    def begin(
        self,
        slices: Sequence[Slice],
        laps: Laps,
        told: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Write a batch, and send its COMMIT in the background.

        `told` are verdicts to take instead of deciding, one per transfer. Raises what
        is neither Retriable nor unknown, and what `wait` raises.
        """
        assert self.idle, "finish() comes first"
        self._reached(Point.DECODED)
        posting = self.retry(lambda: self._poster.write(slices, laps, told))
        laps.lap(names.POST)
        self._reached(Point.WRITTEN)
        committing = self._committer.submit(self._commit, self._poster, posting)
        self._in_flight = _InFlight(posting, committing, laps, told)

    def finish(self) -> tuple[Posting, Laps] | None:
        """Wait for the COMMIT; the posting that took effect, or None if none is due.

        Raises as `begin` does: it may have to be written again.
        """
        flying, self._in_flight = self._in_flight, None
        if flying is None:
            return None
        posting, laps = flying.posting, flying.laps
        try:
            laps.seconds[names.COMMIT] = self._result(flying.committing)
        except Indeterminate as error:
            log.warning("commit outcome unknown, looking it up", error=str(error))
            self._metrics.indeterminate(names.POSTGRESQL)
            posting = self._resolve(flying)
        return posting, laps

    def retry(self, call: Callable[[], T]) -> T:
        """Call until it succeeds.

        Raises what is neither Retriable nor unknown, and whatever `wait` raises: that
        may be Retriable, and ends the session. Unknown are only look-ups here: `write`
        sends no COMMIT.
        """
        delays, conflicts = pauses(), 0
        while True:
            try:
                self._reconnect()
                return call()
            except Conflict as error:
                conflicts += 1
                log.info("batch is redone", reason=str(error))
                self._metrics.redo()
                if conflicts > CONFLICTS_IN_A_ROW_MAX:
                    self._wait(next(delays), str(error))
            except (Retriable, Indeterminate) as error:
                log.warning("database is away, trying again", error=str(error))
                self._connection.close()
                self._wait(next(delays), str(error))

    def close(self) -> None:
        """Close the connection, after the COMMIT in flight if there is one."""
        if self._in_flight is not None:
            with suppress(OnceError):  # whoever is next finds out what became of it
                self._result(self._in_flight.committing)
        self._committer.shutdown()
        self._waiter.shutdown()
        self._connection.close()

    @property
    def _connection(self) -> psycopg.Connection:
        return self._poster.ledger.connection

    def _patiently(self, call: Callable[[], T]) -> T:
        """A call that ends with a COMMIT, which may wait long for the standby."""
        return self._result(self._waiter.submit(call))

    def _result(self, waiting: Future[T]) -> T:
        while True:
            try:
                return waiting.result(timeout=1.0)
            except FutureTimeout:
                if waiting.done():
                    return waiting.result()
                if self._server_answers():
                    self._beat()

    def _server_answers(self) -> bool:
        """Whether the wait is for a standby, and not for a server that hangs."""
        now = time.monotonic()
        if now - self._asked_at > PROBE_SECONDS:
            self._asked_at, self._answered = now, self._probe()
        return self._answered

    def _probe(self) -> bool:
        try:
            probe = self._connect()
        except OnceError as error:
            log.warning("waiting for Postgres, which does not answer", error=str(error))
            return False
        try:
            if server_of(probe) == self._server:
                log.info("waiting for Postgres: COMMIT waits for the standby")
            else:
                log.warning("there is another primary now, leaving the old one")
                hang_up(self._connection)
            return True
        except psycopg.Error:
            return False
        finally:
            probe.close()

    def _commit(self, poster: Poster, posting: Posting) -> float:
        laps = Laps()
        poster.commit(posting)
        return laps.lap(names.COMMIT)

    def _resolve(self, flying: _InFlight) -> Posting:
        """Find out whether a posting took effect, and redo it until one has."""
        posting, laps, told = flying.posting, flying.laps, flying.told
        while not self.retry(
            lambda: self._patiently(lambda: self._poster.committed(posting))
        ):
            self._metrics.redo()
            again = self.retry(lambda: self._poster.write(posting.slices, laps, told))
            try:
                self._patiently(partial(self._poster.commit, again))
                return again
            except Indeterminate as error:
                log.warning("commit outcome unknown again", error=str(error))
                self._metrics.indeterminate(names.POSTGRESQL)
                posting = again
        return posting

    def _reconnect(self) -> None:
        if self._connection.closed or self._connection.broken:
            self._poster = self._new_poster()

    def _new_poster(self) -> Poster:
        connection = self._connect()
        try:
            self._server = server_of(connection)
        except psycopg.Error as error:
            connection.close()
            raise from_postgres(error, "asking Postgres who it is") from error
        return Poster(connection, self._topic, self.positions)
