"""The metrics of a service that takes records by HTTP and follows what becomes of them.

These are recorded per request.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from prometheus_client import CollectorRegistry, Histogram

from once import names
from once.metrics import DURATION_BUCKETS_SECONDS

_LABELS = (names.HTTP_METHOD, names.HTTP_ROUTE, names.HTTP_STATUS)
METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"))


class HttpMetrics:
    """Requests by route and status, and what waits behind them.

    Durations go into Prometheus' own histogram, under the conventional name: the one of
    OpenTelemetry takes 12 microseconds per record, a tenth of a request.
    """

    def __init__(self, meter: Meter, registry: CollectorRegistry) -> None:
        self._meter = meter
        self._duration = Histogram(
            names.HTTP_DURATION.replace(".", "_"),
            "time per request",
            [n.replace(".", "_") for n in _LABELS],
            unit="seconds",
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self._made: dict[tuple[str, str, int], Histogram] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Report one request that ended; `route` is the path's template."""
        if method not in METHODS:
            method = "_OTHER"  # as the conventions ask: a client may say anything
        key = (method, route, status)
        series = self._made.get(key)
        if series is None:
            series = self._made[key] = self._duration.labels(method, route, str(status))
        series.observe(seconds)

    def watch(self, backlog: Callable[[], int], watched: Callable[[], int]) -> None:
        """Ask these at every scrape: accepted and not in Kafka; waited for."""
        for name, read, what in (
            (
                names.BACKLOG_RECORDS,
                backlog,
                "accepted, and not in Kafka yet; a few hundred",
            ),
            (names.WATCHED_RECORDS, watched, "transfers that somebody waits for"),
        ):
            self._meter.create_observable_gauge(
                name, [_observed(read)], "{record}", what
            )

    def watch_keys(self, age_seconds: Callable[[], float]) -> None:
        """Ask this at every scrape: since when the issuer's keys may have changed."""
        what = "since the issuer's keys were read; below 300"
        self._meter.create_observable_gauge(
            names.ISSUER_KEYS_AGE, [_observed(age_seconds)], "s", what
        )


class FollowMetrics:
    """What a follower of the log has taken in, and what it keeps of that."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._followed = meter.create_counter(
            names.FOLLOWED_RECORDS,
            "{record}",
            "receipts and results of all Stores taken in",
        )

    def followed(self, receipts: int, results: int) -> None:
        """Report so many of each."""
        self._followed.add(receipts, {names.KIND: "receipt"})
        self._followed.add(results, {names.KIND: "result"})

    def watch(self, size_bytes: Callable[[], int]) -> None:
        """Ask this at every scrape: how much of the disk is taken."""
        what = "of the index; grows to a day's worth"
        self._meter.create_observable_gauge(
            names.INDEX_SIZE, [_observed(size_bytes)], "By", what
        )


def _observed(
    read: Callable[[], float],
) -> Callable[[CallbackOptions], list[Observation]]:
    return lambda _: [Observation(read())]
