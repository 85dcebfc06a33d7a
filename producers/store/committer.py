"""Moves the backlog into Kafka: one group of entries, one transaction, for ever.

Emitters take turns. A transaction follows the other one after it is committed, so the
order stays; but the brokers still write the markers of the last one, and make its own
producer wait for them. Two in turn take 33 ms each where one took 78.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from once import logs
from once.errors import OnceError, Retriable
from once.health import Progress
from once.kafka import Trouble
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.backlog import Backlog, Entry
from producers.store.emitter import Emitter
from producers.store.facts import Facts
from producers.store.index import Index
from producers.store.receipts import by_client
from producers.store.sqlite import is_full
from producers.store.transfers import Chunk

log = logs.get(__name__)

WAIT_SECONDS = 0.5
LEAVE_SECONDS = 20.0  # one call to Kafka may take as long

Pause = Callable[[float], None]


class _Leaving(Exception):
    """The Store is leaving, and Kafka is away."""


class Committer:
    """A thread that sends the backlog in order and says how far it is."""

    def __init__(
        self,
        backlog: Backlog,
        index: Index,
        *,
        open_emitters: Callable[[Pause], Sequence[Emitter]],
        acknowledged: AcknowledgementLog,
        progress: Progress,
        records_max: int,
        interval_seconds: float,
        committed: Callable[[int, list[bytes]], object],
        failed: Callable[[OnceError], None],
        trouble: Trouble | None = None,
    ) -> None:
        """`interval_seconds`: a transaction begins so long after the one before began,
        at least; the first after a rest begins at once.

        `committed(number, ids)`: Kafka has everything up to that number. `failed` is
        told of what a person must mend. Both are called in the thread, as is
        `open_emitters`: it may have to wait for Kafka, and calls its argument then.
        """
        self._open_emitters = open_emitters
        self._backlog = backlog
        self._index = index
        self._acknowledged = acknowledged
        self._progress = progress
        self._records_max = records_max
        self._interval_seconds = interval_seconds
        self._committed = committed
        self._failed = failed
        self._trouble = trouble or Trouble()
        self._stop, self._give_up = threading.Event(), threading.Event()
        self._away: str | None = "Kafka has not been reached yet"
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def check(self) -> str | None:
        """Why nothing can be committed now; None when it can."""
        return self._away or self.stalled()

    def stalled(self) -> str | None:
        """Since when the backlog's oldest entry has not moved, if that is too long.

        It need not: while Kafka is away, and while there is none.
        """
        return self._progress.stalled()

    def close(self, timeout_seconds: float) -> bool:
        """Commit what is left, for so long; whether nothing is.

        While Kafka is away, what a durable backlog holds is left to the next start.
        """
        self._stop.set()
        self._thread.join(timeout_seconds)
        self._give_up.set()
        self._thread.join(LEAVE_SECONDS)
        return len(self._backlog) == 0

    def _run(self) -> None:
        try:
            emitters = self._open_emitters(self._pause)
            for emitter in emitters:
                emitter.start()
            self._away = None
            self._keep_committing(emitters)
        except _Leaving:
            log.warning("left with transfers in the backlog", count=len(self._backlog))
        except OnceError as error:
            self._end(error)
        except (sqlite3.Error, OSError) as error:
            # What was promised is in the journal, or was not promised.
            self._end(Retriable(f"a disk of this Store fails: {error}; start it again"))
        except Exception as error:  # a Store that lives on would promise and not send
            log.exception("the committer ended")
            self._end(OnceError(f"the committer ended, unforeseen: {error!r}"))

    def _keep_committing(self, emitters: Sequence[Emitter]) -> None:
        turns, began = itertools.cycle(emitters), float("-inf")
        while not self._done():
            entries = self._backlog.take(
                self._records_max,
                linger_seconds=max(
                    0.0, began + self._interval_seconds - time.monotonic()
                ),
                wait_seconds=WAIT_SECONDS,
            )
            if entries:
                began = time.monotonic()
                self.commit(next(turns), entries)
                self._away = None
                self._progress.beat()
            elif len(self._backlog) == 0:
                for emitter in emitters:
                    emitter.refresh()
                self._away = None  # it may have had to wait for Kafka meanwhile
                self._progress.beat()

    def _end(self, error: OnceError) -> None:
        log.error("cannot go on", error=str(error))
        self._away = str(error)
        self._failed(error)

    def _done(self) -> bool:
        if self._give_up.is_set():
            return True
        return self._stop.is_set() and len(self._backlog) == 0

    def commit(self, emitter: Emitter, entries: Sequence[Entry]) -> None:
        """One transaction with the backlog's first entries, in the calling thread."""
        receipts = by_client(entry.receipt for entry in entries)
        chunk = Chunk.of([entry.transfer for entry in entries])
        emitter.emit(chunk, receipts)
        note(self._index, Facts({emitter.incarnation: receipts}))
        ids = [entry.receipt.transfer_id for entry in entries]
        self._acknowledged.append(ids)
        self._committed(self._backlog.remove(len(entries)), ids)

    def _pause(self, seconds: float) -> None:
        """Between attempts: waiting out an outage is no stall."""
        self._progress.beat()
        self._away = f"Kafka does not answer; trying again{self._trouble}"
        leave = self._stop if self._backlog.durable else self._give_up
        if leave.wait(seconds):
            raise _Leaving


def note(index: Index, facts: Facts) -> None:
    """Known here before it leaves the backlog, so that nobody finds it in neither.

    An index without room stops no money: it is filled from the log again.
    """
    try:
        index.write(facts)
    except (sqlite3.Error, OSError) as error:
        if not is_full(error):
            raise
        index.incomplete.set()
        log.warning("the index lacks what was committed now", error=str(error))
