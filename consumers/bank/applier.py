"""Keeps posting batches through conflicts, outages and lost answers.

The COMMIT of one batch runs in the background, so that the caller can poll and decode
the next one meanwhile; `finish` waits for it and settles what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import structlog

from consumers.bank.batch import Slice
from consumers.bank.ledger import Ledger
from consumers.bank.posting import Poster, Posting
from once import names
from once.backoff import pauses
from once.errors import Conflict, Indeterminate, Retriable
from once.metrics import ApplyMetrics, Laps

log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")

CONFLICTS_IN_A_ROW_MAX = 3  # then pause: somebody is hammering the same accounts


@dataclass(slots=True)
class _InFlight:
    posting: Posting
    committing: Future[float]
    laps: Laps


class Applier:
    """Posts batches one after the other, each exactly once."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        topic: str,
        wait: Callable[[float, str], None],
        beat: Callable[[], None],
        metrics: ApplyMetrics,
    ) -> None:
        """`wait(seconds, why)` is called while the database is away; it may raise.

        `beat()` is called while a COMMIT waits, perhaps long, for the standby.
        """
        self._connect = connect
        self._topic = topic
        self._wait = wait
        self._beat = beat
        self._metrics = metrics
        self.poster = Poster(connect(), topic)
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="committer")
        self._in_flight: _InFlight | None = None

    @property
    def ledger(self) -> Ledger:
        """The statements, on the connection of now."""
        return self.poster.ledger

    def begin(self, slices: Sequence[Slice], laps: Laps) -> None:
        """Write a batch and send its COMMIT. Raises Fenced or Defect."""
        assert self._in_flight is None, "finish() comes first"
        posting = self.retry(lambda: self.poster.write(slices, laps))
        laps.lap(names.POST)
        committing = self._committer.submit(self._commit, self.poster, posting)
        self._in_flight = _InFlight(posting, committing, laps)

    def finish(self) -> tuple[Posting, Laps] | None:
        """Wait for the COMMIT; the posting that took effect, or None if none is due.

        Raises Fenced or Defect.
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
            posting = self._resolve(posting, laps)
        return posting, laps

    def retry(self, call: Callable[[], T]) -> T:
        """Call until it succeeds. Raises what is neither Retriable nor unknown."""
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
                self.ledger.connection.close()
                self._wait(next(delays), str(error))

    def close(self) -> None:
        """Close the connection, after the COMMIT in flight if there is one."""
        self._committer.shutdown()
        self.ledger.connection.close()

    def _result(self, committing: Future[float]) -> float:
        while True:
            try:
                return committing.result(timeout=1.0)
            except FutureTimeout:
                self._beat()

    def _commit(self, poster: Poster, posting: Posting) -> float:
        laps = Laps()
        poster.commit(posting)
        return laps.lap(names.COMMIT)

    def _resolve(self, posting: Posting, laps: Laps) -> Posting:
        """Find out whether `posting` took effect, and redo it until one has."""
        while not self.retry(lambda: self.poster.committed(posting)):
            self._metrics.redo()
            again = self.retry(lambda: self.poster.write(posting.slices, laps))
            try:
                self.poster.commit(again)
                return again
            except Indeterminate as error:
                log.warning("commit outcome unknown again", error=str(error))
                self._metrics.indeterminate(names.POSTGRESQL)
                posting = again
        return posting

    def _reconnect(self) -> None:
        if self.ledger.connection.closed or self.ledger.connection.broken:
            poster = Poster(self._connect(), self._topic)
            poster.positions = self.poster.positions
            self.poster = poster
