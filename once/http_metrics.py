"""The metrics of a service that takes records by HTTP and follows what becomes of them.

These are recorded per request: a request costs a hundred times as much as its metric.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from once import names
from once.metrics import DURATION_BUCKETS_S

METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"))


class HttpMetrics:
    """Requests by route and status, and what waits behind them."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._duration = meter.create_histogram(
            names.HTTP_DURATION,
            "s",
            "time per request",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS_S,
        )
        self._made: dict[tuple[str, str, int], dict[str, str | int]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Report one request that ended; `route` is the path's template."""
        if method not in METHODS:
            method = "_OTHER"  # as the conventions ask: a client may say anything
        key = (method, route, status)
        attributes = self._made.get(key)
        if attributes is None:
            attributes = self._made[key] = {
                names.HTTP_METHOD: method,
                names.HTTP_ROUTE: route,
                names.HTTP_STATUS: status,
            }
        self._duration.record(seconds, attributes)

    def watch(self, backlog: Callable[[], int], watched: Callable[[], int]) -> None:
        """Ask these at every scrape: accepted and not in Kafka; waited for."""
        for name, read, what in (
            (names.BACKLOG_RECORDS, backlog, "accepted, and not in Kafka yet"),
            (names.WATCHED_RECORDS, watched, "that somebody waits for"),
        ):
            self._meter.create_observable_gauge(
                name, [_observed(read)], "{record}", what
            )


class FollowMetrics:
    """What a follower of the log has taken in."""

    def __init__(self, meter: Meter) -> None:
        self._followed = meter.create_counter(
            names.FOLLOWED_RECORDS, "{record}", "receipts and results taken in"
        )

    def followed(self, receipts: int, results: int) -> None:
        """Report so many of each."""
        self._followed.add(receipts, {names.KIND: "receipt"})
        self._followed.add(results, {names.KIND: "result"})


def _observed(
    read: Callable[[], int],
) -> Callable[[CallbackOptions], list[Observation]]:
    return lambda _: [Observation(read())]
