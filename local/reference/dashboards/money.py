"""Payments: how many, how fast, and what must not happen to them."""

from __future__ import annotations

from local.reference.dashboards.panels import (
    HERE,
    LATENCY,
    PARTITION,
    PER_SECOND,
    RECORDS,
    SECONDS,
    Dashboard,
    Panel,
    gauge,
    increase,
    quantile,
    rate,
)

MONEY = Dashboard(
    "consumers/bank/k8s/base/dashboard.json",
    "once",
    "Once: payments",
    (
        Panel(
            "Transfers per second: accepted, applied",
            PER_SECOND,
            {
                "accepted by the Store": rate("once_records_acknowledged_total"),
                "applied by the Bank": rate("messaging_client_consumed_messages_total"),
            },
        ),
        Panel(
            "Verdicts per second",
            PER_SECOND,
            {"{{verdict}}": rate("once_results_total", by="verdict")},
        ),
        Panel(
            "Lag by partition, records",
            RECORDS,
            {f"{{{{{PARTITION}}}}}": gauge("sum", "once_lag_records", PARTITION)},
        ),
        Panel(
            "Lag, seconds",
            SECONDS,
            {
                "worst partition": gauge("max", "once_lag_time_seconds"),
                "held back by an open transaction": gauge(
                    "max", "once_held_back_time_seconds"
                ),
            },
        ),
        Panel(
            "From the client's clock to COMMIT",
            SECONDS,
            {
                "p50": quantile(0.5, LATENCY),
                "p99": quantile(0.99, LATENCY),
            },
        ),
        Panel(
            "Stages of a batch, p99",
            SECONDS,
            {
                "{{stage}}": quantile(
                    0.99, "once_stage_duration_seconds_bucket", 'stage!="poll"', "stage"
                )
            },
        ),
        Panel(
            "HTTP answers per second",
            "reqps",
            {
                "{{http_response_status_code}}": rate(
                    "http_server_request_duration_seconds_count",
                    by="http_response_status_code",
                )
            },
        ),
        Panel(
            "HTTP duration, p99",
            SECONDS,
            {
                "{{http_request_method}}": quantile(
                    0.99,
                    "http_server_request_duration_seconds_bucket",
                    by="http_request_method",
                )
            },
        ),
        Panel(
            "Must stay zero",
            RECORDS,
            {
                "emitter gaps": increase("once_emitter_gaps_total", "1h"),
                "quarantined": increase("once_quarantined_total", "1h"),
                "audits that failed": (
                    f'sum(kube_job_status_failed{{{HERE},job_name=~"audit-.+"}})'
                ),
            },
        ),
        Panel(
            "After failovers and rebalances",
            RECORDS,
            {
                name: increase(f"once_{name}_total", "5m")
                for name in ("fences", "recycles", "redos", "indeterminate")
            },
        ),
        Panel(
            "Refused partitions",
            RECORDS,
            {
                f"{{{{{PARTITION}}}}}": gauge(
                    "max", "once_partitions_refused", PARTITION
                )
            },
        ),
        Panel(
            "Accepted, and not in Kafka yet",
            RECORDS,
            {"{{pod}}": gauge("sum", "once_backlog_records", "pod")},
        ),
    ),
)
