"""What a worker tells about itself: metrics, readiness, lag, spans."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum, auto
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.trace import Span

from consumers.bank.batch import Slice
from consumers.bank.care import Care
from consumers.bank.codec import Reason
from consumers.bank.lag import Lags
from consumers.bank.posted import Posting
from consumers.bank.refusals import Refusals
from consumers.bank.settings import BankSettings
from consumers.bank.verdicts import Verdict
from once import logs, names
from once.health import Progress
from once.kafka import Trouble
from once.metrics import LATENCIES_PER_BATCH_MAX, ApplyMetrics, Laps
from once.telemetry import Telemetry
from once.tracing import end_all, extract, process_span, result_span
from once.watchdog import Within, unwatched

log = logs.get(__name__)

NAMES = {int(verdict): verdict.name for verdict in Verdict}
SPANS_PER_BATCH_MAX = 50  # foreign producers may mark every record as sampled


class Point(StrEnum):
    """The points between the steps of the protocol (docs/architecture.md)."""

    DECODED = auto()  # nothing of the batch is written
    WRITTEN = auto()  # all statements are answered, COMMIT is not sent
    COMMITTED = auto()  # COMMIT is answered, no result is sent
    PUBLISHED = auto()  # results and group offset are committed


class Stopping(Exception):
    """A signal asked the worker to leave while it was waiting."""


class Observer:
    """Collects what the sessions of one worker see; outlives each of them."""

    def __init__(
        self,
        settings: BankSettings,
        telemetry: Telemetry,
        progress: Progress | None = None,
        within: Within = unwatched,
    ) -> None:
        """`within` bounds the calls of client libraries (once/watchdog.py)."""
        self._settings = settings
        self._telemetry = telemetry
        self.within = within
        self.trouble = Trouble()
        self.care = Care(settings.batch_records_max)
        self.refusals = Refusals()
        self._lags = Lags()
        self._owned: tuple[int, ...] = ()
        self._away: str | None = "the worker has not started yet"
        self._warned: set[str] = set()
        self.stopping = False
        self.worked = False  # a session has come up since the process started
        self.progress = progress or Progress(settings.stall_seconds_max)
        self.metrics = ApplyMetrics(
            telemetry.meter, settings.topic, settings.group, lambda: self._lags.now
        )
        self.metrics.watch_refused(self.refusals.partitions)
        self.metrics.expect_reasons(Reason)

    @property
    def traces_enabled(self) -> bool:
        """Whether headers are worth reading."""
        return self._telemetry.traces_enabled

    def reached(self, point: Point) -> None:
        """The session, or its publisher, is at this point: a test may end it here."""

    def check_stop(self) -> None:
        """Raise Stopping when the worker was asked to leave."""
        if self.stopping:
            raise Stopping

    def owned(self, partitions: Collection[int]) -> None:
        """These partitions are ours now."""
        self._owned = tuple(sorted(partitions))
        self._lags.keep(partitions)

    def away(self, reason: str | None) -> None:
        """Something that the work depends on is away; None: all is there."""
        self._away = reason

    def warn(self, findings: Iterable[str]) -> None:
        """Say once what is not as it should be, and stops nothing."""
        for finding in findings:
            if finding not in self._warned:
                self._warned.add(finding)
                log.warning("not as it should be", finding=finding)

    def checks(self) -> dict[str, Any]:
        """The readiness checks, by name."""
        return {
            "partitions": lambda: (
                None if self._owned else "no partition is assigned to this worker"
            ),
            "dependencies": lambda: self._away,
            "refused": self.refusals.check,
        }

    def stepped(
        self,
        consumer: Consumer,
        due: Mapping[int, int],
        stable: Mapping[int, int],
        messages: Sequence[Any],
    ) -> None:
        """A step is done: the worker is alive, nothing is away, lag is known anew.

        By partition, `due` is the next offset to read, and `stable` the last stable
        offset where the reader came to it.
        """
        self.progress.beat()
        self._away = None
        topic, age = self._settings.topic, None
        if messages:
            age = max(0.0, time.time() - messages[-1].timestamp()[1] / 1000)
        logs_end = {
            partition: consumer.get_watermark_offsets(
                TopicPartition(topic, partition), cached=True
            )[1]
            for partition in due
        }
        self._lags.step(due, stable, logs_end, age)

    def waiting(self, why: str) -> None:
        """Something is away: lag grows by the clock until the next step."""
        self._away = why
        self._lags.wait()

    def posted(self, posting: Posting, laps: Laps) -> list[Span]:
        """A batch is committed; the spans of its sampled records, still open."""
        verdicts = Counter(v for mine in posting.verdicts for v in mine)
        reasons = Counter(
            fault.reason.value
            for piece in posting.slices
            for fault in piece.faults.values()
        )
        records = sum(map(len, posting.verdicts))
        now_ms = time.time() * 1000
        created = [at for piece in posting.slices for at in piece.created_at_ms]
        stride = max(1, len(created) // LATENCIES_PER_BATCH_MAX)
        self.metrics.batch(
            records,
            {NAMES[verdict]: count for verdict, count in verdicts.items()},
            reasons,
            laps.seconds,
            [max(0.0, now_ms - at) / 1000 for at in created[::stride]],
        )
        for partition, gaps in posting.gaps.items():
            self.metrics.emitter_gap(len(gaps))
            for gap in gaps:
                log.error(
                    "an emitter's records are missing: Kafka lost what it acknowledged",
                    emitter=gap.emitter.hex(),
                    partition=partition,
                    offset=gap.offset,
                    expected=gap.expected,
                    found=gap.found,
                )
        if reasons:
            log.warning("records went to quarantine", reasons=dict(reasons))
        return self._spans(posting, laps) if self.traces_enabled else []

    def published(self, spans: Sequence[Span], seconds: float) -> None:
        """A batch's results are committed to Kafka."""
        self.reached(Point.PUBLISHED)
        self.metrics.stages({names.PUBLISH: seconds})
        topic, tracer = self._settings.results_topic, self._telemetry.tracer
        start = time.time_ns() - int(seconds * 1e9)
        end_all([result_span(tracer, span, topic, start) for span in spans])

    def _spans(self, posting: Posting, laps: Laps) -> list[Span]:
        spans: list[Span] = []
        # They begin with the batch, of which poll is no part, and end here.
        stay = sum(s for stage, s in laps.seconds.items() if stage != names.POLL)
        start = time.time_ns() - int(stay * 1e9)
        for piece, verdicts in zip(posting.slices, posting.verdicts, strict=True):
            headers = piece.records.headers
            marked = [row for row, some in enumerate(headers) if some]
            for row in marked[: SPANS_PER_BATCH_MAX - len(spans)]:
                spans += self._span(piece, row, verdicts[row], start)
        end_all(spans)
        return spans

    def _span(self, piece: Slice, row: int, verdict: int, start: int) -> list[Span]:
        parent = extract(piece.records.headers[row])
        if parent is None:
            return []
        span = process_span(
            self._telemetry.tracer,
            parent,
            topic=self._settings.topic,
            group=self._settings.group,
            partition=piece.partition,
            offset=piece.records.offsets[row],
            start_ns=start,
        )
        span.set_attribute(names.SPAN_VERDICT, NAMES[verdict])
        return [span]
