"""The metrics of applying and of emitting records, recorded once per batch.

A measurement costs a few microseconds in Python, as much as applying half a record;
so nothing here is called per record. A batch hands over its sums, its stage times and
a handful of latencies, at about 0.1 ms for the whole batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    Observation,
)

from once import names

# 1 ms to 30 s: below, clocks and Python are the noise; above, an alarm has rung.
DURATION_BUCKETS_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
BATCH_BUCKETS = (
    *(1.0, 10.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0),
    *(10_000.0, 20_000.0, 50_000.0, 100_000.0),
)
# Enough latencies for honest percentiles over a minute, few enough to cost nothing.
LATENCIES_PER_BATCH_MAX = 16


@dataclass(frozen=True)
class Lag:
    """How far one partition is behind.

    `records` in the log, markers counted; `seconds`: the age of the next one; `held`:
    for how long readers have waited behind an open transaction.
    """

    records: int
    seconds: float
    held: float = 0.0


LagReader = Callable[[], Mapping[int, Lag]]


class Laps:
    """A stop watch for the stages of one batch.

    ::

        laps = Laps()
        messages = poll();   laps.lap(names.POLL)
        decode(messages);    laps.lap(names.DECODE)
        metrics.batch(..., stages=laps.seconds)
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._last = clock()

    def lap(self, stage: str) -> float:
        """Book the time since the last lap to `stage` (adding up) and return it."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed
        return elapsed

    def skip(self) -> None:
        """Leave the time since the last lap out of every stage."""
        self._last = self._clock()


class _Labelled:
    """A counter with one attribute whose dicts are made once per value."""

    def __init__(self, counter: Counter, attribute: str) -> None:
        self._counter = counter
        self._attribute = attribute
        self._made: dict[str, dict[str, str]] = {}

    def add(self, value: str, amount: int) -> None:
        attributes = self._made.get(value)
        if attributes is None:
            attributes = self._made[value] = {self._attribute: value}
        self._counter.add(amount, attributes)

    def add_all(self, amounts: Mapping[str, int]) -> None:
        for value, amount in amounts.items():
            self.add(value, amount)


class ApplyMetrics:
    """What a consumer that applies batches of records to Postgres reports.

    `lag` is asked at each scrape, from the scraping thread: it returns a plain dict
    of partition number to `Lag` that the main loop replaces, never changes in place.
    """

    def __init__(self, meter: Meter, topic: str, group: str, lag: LagReader) -> None:
        self._where: dict[str, str] = {
            names.MESSAGING_SYSTEM: names.KAFKA,
            names.MESSAGING_DESTINATION: topic,
            names.MESSAGING_GROUP: group,
        }
        self._lag = lag
        counter = meter.create_counter
        self._consumed = counter(
            names.RECORDS_CONSUMED, "{message}", "records whose batch is committed"
        )
        self._results = _Labelled(
            counter(names.RESULTS, "{record}", "records decided, by verdict"),
            names.VERDICT,
        )
        self._quarantined = _Labelled(
            counter(names.QUARANTINED, "{record}", "records set aside; normally 0"),
            names.REASON,
        )
        self._batches = counter(names.BATCHES, "{batch}", "batches committed")
        self._size = meter.create_histogram(
            names.BATCH_RECORDS,
            "{record}",
            "records per batch",
            explicit_bucket_boundaries_advisory=BATCH_BUCKETS,
        )
        self._stage = _durations(
            meter, names.STAGE_DURATION, "time per batch and stage"
        )
        self._stages = {stage: {names.STAGE: stage} for stage in names.STAGES}
        self._latency = _end_to_end(meter)
        self._fences = _from_zero(
            meter, names.FENCES, "batches refused by the fence; rises with rebalances"
        )
        self._redos = _from_zero(
            meter,
            names.REDOS,
            "batches rolled back and redone; a few come with repeats",
        )
        self._gaps = _from_zero(
            meter, names.EMITTER_GAPS, "holes in emitter sequences; always 0"
        )
        self._recycles = _from_zero(
            meter,
            names.RECYCLES,
            "producers closed and made again; rises with failovers",
        )
        self._indeterminate = _Labelled(
            counter(
                names.INDETERMINATE,
                "{call}",
                "calls whose outcome was unknown; rises with failovers",
            ),
            names.SYSTEM,
        )
        for system in (names.KAFKA, names.POSTGRESQL):
            self._indeterminate.add(system, 0)
        self._meter = meter
        self._watch_lag(meter)

    def _watch_lag(self, meter: Meter) -> None:
        meter.create_observable_gauge(
            names.LAG_RECORDS,
            [self._observe_lag_records],
            "{record}",
            "records between the position and the end of the log",
        )
        meter.create_observable_gauge(
            names.LAG_TIME,
            [self._observe_lag_seconds],
            "s",
            "age of the next record to apply, 0 when there is none",
        )
        meter.create_observable_gauge(
            names.HELD_BACK_TIME,
            [self._observe_held_back_seconds],
            "s",
            "how long readers have waited behind an open transaction",
        )

    def batch(
        self,
        records: int,
        verdicts: Mapping[str, int],
        quarantined: Mapping[str, int],
        stages: Mapping[str, float],
        latencies_seconds: Iterable[float] = (),
    ) -> None:
        """Report one committed batch: counts by verdict and reason, seconds by stage.

        `latencies_seconds` are ages at commit of a few records spread over the batch,
        at most `LATENCIES_PER_BATCH_MAX`: every record would cost more than its work.
        """
        self._consumed.add(records, self._where)
        self._batches.add(1)
        self._size.record(records)
        self._results.add_all(verdicts)
        self._quarantined.add_all(quarantined)
        self.stages(stages)
        for latency in latencies_seconds:
            self._latency.record(latency)

    def expect_reasons(self, reasons: Iterable[str]) -> None:
        """Export these from zero: an alert sees the first record set aside, too."""
        for reason in reasons:
            self._quarantined.add(reason, 0)

    def watch_refused(self, refused: Callable[[], Sequence[int]]) -> None:
        """Report the partitions that a person must decide about, by number."""

        def observe(_: CallbackOptions) -> list[Observation]:
            return [Observation(1, self._partition(each)) for each in refused()]

        self._meter.create_observable_gauge(
            names.REFUSED, [observe], "{partition}", "1: a person must decide about it"
        )

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Report stage times alone, e.g. of publishing that overlaps the next batch."""
        for stage, elapsed in seconds.items():
            self._stage.record(elapsed, self._stages[stage])

    def fence(self) -> None:
        """Report that a batch was refused: another process owns its partitions."""
        self._fences.add(1)

    def redo(self) -> None:
        """Report that a batch was rolled back and is done again from a fresh read."""
        self._redos.add(1)

    def emitter_gap(self, gaps: int = 1) -> None:
        """Report holes in an emitter's sequence: records that Kafka lost."""
        self._gaps.add(gaps)

    def recycle(self) -> None:
        """Report that a producer was closed and made again."""
        self._recycles.add(1)

    def indeterminate(self, system: str) -> None:
        """Report a call to `names.KAFKA` or `names.POSTGRESQL` of unknown outcome."""
        self._indeterminate.add(system, 1)

    def _observe_lag_records(self, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(lag.records, self._partition(partition))
            for partition, lag in self._lag().items()
        ]

    def _observe_lag_seconds(self, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(lag.seconds, self._partition(partition))
            for partition, lag in self._lag().items()
        ]

    def _observe_held_back_seconds(self, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(lag.held, self._partition(partition))
            for partition, lag in self._lag().items()
        ]

    def _partition(self, partition: int) -> dict[str, str]:
        return {**self._where, names.MESSAGING_PARTITION: str(partition)}


class EmitMetrics:
    """What a transactional producer reports, once per Kafka transaction."""

    def __init__(self, meter: Meter, topic: str) -> None:
        self._where: dict[str, str] = {
            names.MESSAGING_SYSTEM: names.KAFKA,
            names.MESSAGING_DESTINATION: topic,
        }
        counter = meter.create_counter
        self._sent = counter(
            names.RECORDS_SENT, "{message}", "records sent, those sent again, too"
        )
        self._acknowledged = counter(
            names.RECORDS_ACKNOWLEDGED,
            "{record}",
            "records that cannot be lost any more",
        )
        self._transactions = _Labelled(
            counter(names.TRANSACTIONS, "{transaction}", "Kafka transactions"),
            names.OUTCOME,
        )
        self._duration = _durations(
            meter,
            names.TRANSACTION_DURATION,
            "time per Kafka transaction; the broker aborts at 10 s",
        )
        self._latency = _end_to_end(meter)
        self._rejected = _from_zero(
            meter, names.INPUT_REJECTED, "input lines that are no record"
        )
        self._recycles = _from_zero(
            meter,
            names.RECYCLES,
            "producers closed and made again; rises with failovers",
        )
        self._indeterminate = _Labelled(
            counter(
                names.INDETERMINATE,
                "{call}",
                "calls whose outcome was unknown; rises with failovers",
            ),
            names.SYSTEM,
        )
        self._indeterminate.add(names.KAFKA, 0)
        for outcome in names.OUTCOMES:
            self._transactions.add(outcome, 0)

    def transaction(self, outcome: str, sent: int, seconds: float) -> None:
        """Report one transaction that ended as one of `names.OUTCOMES`."""
        self._transactions.add(outcome, 1)
        self._duration.record(seconds)
        self._sent.add(sent, self._where)
        if outcome == names.COMMITTED:
            self._acknowledged.add(sent)
        elif outcome == names.OUTCOME_INDETERMINATE:
            self._indeterminate.add(names.KAFKA, 1)

    def results(self, latencies_seconds: Iterable[float]) -> None:
        """Report ages at arrival of a few results, a handful per results record."""
        for latency in latencies_seconds:
            self._latency.record(latency)

    def recycle(self) -> None:
        """Report that the producer was closed and made again."""
        self._recycles.add(1)

    def rejected(self, lines: int) -> None:
        """Report input lines that could not become a record."""
        self._rejected.add(lines)


def _from_zero(meter: Meter, name: str, description: str) -> Counter:
    """A counter that is exported from the start.

    An alert on an increase misses the first event of a series that appears with it.
    """
    counter = meter.create_counter(name, "{event}", description)
    counter.add(0)
    return counter


def _durations(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name,
        "s",
        description,
        explicit_bucket_boundaries_advisory=DURATION_BUCKETS_SECONDS,
    )


def _end_to_end(meter: Meter) -> Histogram:
    return _durations(
        meter, names.END_TO_END_DURATION, "from created_at_ms, 16 samples a batch"
    )
