"""Chunks of transfers on their way to Kafka: one is sent while the next one is made."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from once import logs
from once.health import Progress
from once.kafka import Trouble
from once.producer import in_turn
from once.registry import Registry
from once.telemetry import Telemetry
from producers.store.account_changes import ChangeChunk
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.emitter import Emitter
from producers.store.generate import Generator
from producers.store.opening import open_emitters, serve_health
from producers.store.settings import StoreSettings
from producers.store.transfers import Chunk, now_ms

log = logs.get(__name__)


@dataclass(slots=True)
class Tally:
    """How far an emission is."""

    acknowledged: int = 0
    transactions: int = 0


@dataclass(slots=True)
class Stream:
    """Chunks in, acknowledgements out, through emitters in turn (see Committer)."""

    emitters: Sequence[Emitter]
    progress: Progress
    tally: Tally

    def emit(
        self,
        chunks: Iterable[Chunk | ChangeChunk | None],
        acknowledged: AcknowledgementLog,
        report: Callable[[Tally], None] = lambda tally: None,
    ) -> Tally:
        """Send every chunk; while one is being sent, the next one is made.

        None among them: there is no next one yet. That is no stall.
        """
        turns = itertools.cycle(self.emitters)
        with ThreadPoolExecutor(1, thread_name_prefix="emitter") as sender:
            sending: tuple[Chunk | ChangeChunk, Future[None]] | None = None
            for chunk in chunks:
                if chunk is None:
                    if sending is None or sending[1].done():
                        self._settle(sending, acknowledged, report)
                        self.progress.beat()
                        sending = None
                    continue
                self._settle(sending, acknowledged, report)
                sending = (chunk, sender.submit(next(turns).emit, chunk))
            self._settle(sending, acknowledged, report)
        return self.tally

    def _settle(
        self,
        sending: tuple[Chunk | ChangeChunk, Future[None]] | None,
        acknowledged: AcknowledgementLog,
        report: Callable[[Tally], None],
    ) -> None:
        if sending is None:
            return
        chunk, future = sending
        future.result()
        acknowledged.append(chunk.ids)
        self.tally.acknowledged += len(chunk)
        self.tally.transactions += 1
        self.progress.beat()
        report(self.tally)


@contextmanager
def open_stream(settings: StoreSettings) -> Iterator[Stream]:
    """A stream that can send; waits while something is away. Raises Defect."""
    telemetry = Telemetry.start(
        "store", settings.instance, settings.trace_ratio, settings.otlp_endpoint
    )
    trouble = Trouble()
    producers = in_turn(
        settings.client,
        f"store-{settings.instance}.",  # never those of a Store that serves
        trouble=trouble,
    )
    progress = Progress(settings.stall_seconds_max)
    registry = Registry(settings.registry_url, settings.registry_ca)
    with ExitStack() as stack:
        stack.callback(telemetry.shutdown)
        for producer in producers:
            stack.callback(producer.close)
        stack.callback(registry.close)
        if settings.health_port is not None:

            def commits() -> str | None:
                usable = all(producer.usable for producer in producers)
                return None if usable else f"cannot commit{trouble}"

            checks = {"commits": commits}
            health = serve_health(
                settings,
                settings.health_port,
                progress=progress,
                checks=checks,
                scrape=telemetry.scrape,
            )
            stack.enter_context(health)
            log.info("health", health=health.url)
        pause = partial(_pause, progress)
        emitters = open_emitters(
            settings,
            producers,
            registry=registry,
            telemetry=telemetry,
            pause=pause,
            trouble=trouble,
        )
        for emitter in emitters:
            emitter.start()  # or a Store would be ready with its second turn only
            progress.beat()
        yield Stream(emitters, progress, Tally())


def _pause(progress: Progress, seconds: float) -> None:
    progress.beat()  # waiting out an outage is no stall
    time.sleep(seconds)  # nothing tells us when a remote service is back


def paced(
    generator: Generator,
    settings: StoreSettings,
    *,
    count: int | None,
    rate: float | None,
) -> Iterator[Chunk]:
    """Made-up chunks: `count` transfers in all, at most `rate` a second.

    A chunk has what fell due since the last one, so a slow commit is made up for by a
    larger transaction, not by more of them. Each was created when it was due: who
    measures its age sees also what it waited here, behind a commit that took long.
    """
    if rate is None:
        yield from _unpaced(generator, settings.transaction_records_max, count)
        return
    so_far, next_at, largest = 0, 0.0, settings.transaction_records_max
    began, began_ms = time.monotonic(), now_ms()
    while count is None or so_far < count:
        time.sleep(max(0.0, next_at - time.monotonic()))  # the pace is the point
        next_at = time.monotonic() + settings.transaction_interval_ms / 1000
        due = int(rate * (time.monotonic() - began)) - so_far
        left = due if count is None else count - so_far
        size = min(largest, due, left)
        if size > 0:
            numbers = np.arange(so_far, so_far + size)
            yield generator.chunk(size, began_ms + (numbers * 1000 / rate).astype(int))
            so_far += size


def _unpaced(
    generator: Generator, records_max: int, count: int | None
) -> Iterator[Chunk]:
    so_far = 0
    while count is None or so_far < count:
        size = records_max if count is None else min(records_max, count - so_far)
        yield generator.chunk(size)
        so_far += size
