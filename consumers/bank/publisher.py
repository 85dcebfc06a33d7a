"""Publishes results behind the posting: batch N goes to Kafka while N+1 is posted.

One Kafka transaction holds the results and the group's offsets. A failure is kept for
the main loop, which ends the session; the next one publishes again from the ledger.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from once import names
from once.errors import Abortable, OnceError
from once.metrics import Laps
from once.producer import ANY, Record, TransactionalProducer

ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Publication:
    """The results of one batch and the group offsets after it.

    `group_metadata` was taken when the batch was polled: a generation that has passed
    since then is refused by the broker, and with it the results of a zombie.
    """

    encode: Callable[[], Sequence[Record]]
    offsets: Sequence[TopicPartition]
    group_metadata: Any
    done: Callable[[float], None]  # is told the seconds that it took


class Publisher:
    """A thread that sends publications in order, one waiting at most."""

    def __init__(self, producer: TransactionalProducer, topic: str) -> None:
        self._producer = producer
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
        self._waiting.put(publication)

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failure is not None:
            raise self._failure

    def drain(self, seconds_max: float) -> bool:
        """Wait until all is published or failed; False when the time is over."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, seconds_max)

    def close(self) -> None:
        """End the thread; what is still waiting is published first, unless failed."""
        self._waiting.put(None)
        self._thread.join()
        self._producer.close()

    def _run(self) -> None:
        while (publication := self._waiting.get()) is not None:
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
        group = (publication.offsets, publication.group_metadata)
        for attempt in range(ATTEMPTS_MAX):
            try:
                self._producer.send(self._topic, {ANY: records}, group=group)
                break
            except Abortable:
                if attempt == ATTEMPTS_MAX - 1:
                    raise
        publication.done(laps.lap(names.PUBLISH))
