"""Publishes results behind the posting: batch N goes to Kafka while N+1 is posted.

One Kafka transaction holds the results and the group's offsets. A failure is kept for
the main loop, which ends the session; the next one publishes again from the ledger.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from once import names
from once.backoff import pauses
from once.errors import Abortable, Fenced, OnceError
from once.metrics import Laps
from once.producer import ANY, Record, TransactionalProducer

ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Publication:
    """The results of one batch and the group offsets after it."""

    encode: Callable[[], Sequence[Record]]
    offsets: Sequence[TopicPartition]
    done: Callable[[float], None]  # is told the seconds that it took


class Publisher:
    """A thread that sends publications in order, one waiting at most.

    Partitions must not be given up before `drain` or `close`: until then, nobody else
    publishes for them.
    """

    def __init__(
        self,
        producers: Sequence[TransactionalProducer],
        topic: str,
        membership: Callable[[], Any],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`producers` take turns: the brokers still end one's transaction meanwhile.

        `membership()` is the newest consumer group metadata.

        `beat()` is called while `submit` waits for the one before.
        """
        self._beat = beat
        self._closing = False
        self._turns: Iterator[TransactionalProducer] = itertools.cycle(producers)
        self._membership = membership
        self._topic = topic
        self._waiting: queue.Queue[Publication | None] = queue.Queue(maxsize=1)
        self._idle = threading.Condition()
        self._open = 0
        self._failure: OnceError | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def submit(self, publication: Publication) -> None:
        """Hand over a batch's results; waits while one is waiting already."""
        self.check()
        with self._idle:
            self._open += 1
        while True:
            try:
                self._waiting.put(publication, timeout=1.0)
                return
            except queue.Full:
                # Not for ever: the producer's calls end, or the process does.
                self._beat()

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failure is not None:
            raise self._failure

    def drain(self, seconds_max: float) -> bool:
        """Wait until all is published or failed; False when the time is over."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, seconds_max)

    def close(self) -> None:
        """End the thread after what is being sent now; what waits is not sent."""
        self._failure = self._failure or Fenced("the session is over")
        self._closing = True
        with suppress(queue.Full):  # then the thread will see that we are closing
            self._waiting.put_nowait(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            publication = self._waiting.get()
            if publication is None:
                return
            if self._failure is None:
                try:
                    self._publish(publication)
                except OnceError as error:
                    self._failure = error
                except Exception as error:
                    self._failure = OnceError(f"while publishing results: {error!r}")
                    self._failure.__cause__ = error
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    def _publish(self, publication: Publication) -> None:
        laps = Laps()
        records = publication.encode()
        producer = next(self._turns)
        for attempt, pause in enumerate(pauses(), start=1):
            try:
                # Anew for each attempt: a rebalance that leaves us our partitions
                # changes the generation, and the broker refuses the old one.
                group = (publication.offsets, self._membership())
                producer.send(self._topic, {ANY: records}, group=group)
                break
            except Abortable:
                if attempt == ATTEMPTS_MAX:
                    raise
            time.sleep(pause)  # the main loop may be about to join a new generation
        publication.done(laps.lap(names.PUBLISH))
