"""What a dashboard is made of: panels, each with a title, a unit and its lines."""

from __future__ import annotations

from dataclasses import dataclass, field

RECORDS, SECONDS, PER_SECOND, SHARE, BYTES = "short", "s", "ops", "percentunit", "bytes"
HERE = 'namespace="once"'
PARTITION = "messaging_destination_partition_id"
LATENCY = "once_end_to_end_duration_seconds_bucket"


@dataclass(frozen=True)
class Panel:
    """Lines over time, each by its legend; `limits` are drawn across them."""

    title: str
    unit: str
    lines: dict[str, str]
    limits: tuple[float, ...] = ()


@dataclass(frozen=True)
class Dashboard:
    """One page of Grafana, and the file of the manifests that brings it."""

    file: str
    uid: str
    title: str
    panels: tuple[Panel, ...] = field(default=())


def gauge(how: str, metric: str, by: str = "") -> str:
    """What is measured, put together by a label."""
    grouped = f"{how} by ({by}) " if by else how
    return f"{grouped}({metric}{{{HERE}}})"


def rate(metric: str, labels: str = "", by: str = "", window: str = "1m") -> str:
    """What is counted, per second and by a label."""
    grouped = f"sum by ({by}) " if by else "sum"
    asked = f"{HERE},{labels}" if labels else HERE
    return f"{grouped}(rate({metric}{{{asked}}}[{window}]))"


def increase(metric: str, window: str) -> str:
    """How much was counted in a window."""
    return f"sum(increase({metric}{{{HERE}}}[{window}]))"


def quantile(share: float, buckets: str, labels: str = "", by: str = "") -> str:
    """A percentile of the last minute."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(buckets, labels, grouped)})"


def disk(claims: str) -> str:
    """The share of a volume that is free."""
    asked = f'{{{HERE},persistentvolumeclaim=~"{claims}"}}'
    available = f"kubelet_volume_stats_available_bytes{asked}"
    return f"{available} / kubelet_volume_stats_capacity_bytes{asked}"


def burning(ratio: str, budget: float) -> Panel:
    """How fast a promise's budget is used up, by window."""
    windows = {"5m": "5 min", "1h": "1 h", "6h": "6 h", "3d": "3 days"}
    return Panel(
        f"Times as fast as promised: {ratio.replace('_', ' ')}",
        RECORDS,
        {
            shown: f"once:{ratio}:ratio_rate{window} / {budget}"
            for window, shown in windows.items()
        },
        limits=(1.0, 6.0, 14.4),
    )
