"""Every metric as Prometheus shows it, and the alerts that read it.

The page of a program is scraped here after one of everything has happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from local.reference.blocks import Table, code, table
from local.stack.monitoring.rules import groups_of
from once import names
from once.http_metrics import FollowMetrics, HttpMetrics
from once.metrics import ApplyMetrics, EmitMetrics, Lag
from once.resources import find
from once.telemetry import Telemetry

RULES = {
    "bank": "consumers/bank/k8s/base/alerts.yaml",
    "store": "producers/store/k8s/base/monitoring.yaml",
}
OF_HISTOGRAMS = frozenset(("le",))  # labels that are not ours


def tables() -> dict[str, Table]:
    """What the Bank and the Store show, as `metrics NAME`."""
    return {
        "metrics bank": partial(_table, _bank),
        "metrics store emit": partial(_table, _emit),
        "metrics store serve": partial(_table, _serve),
    }


def _bank(telemetry: Telemetry) -> None:
    lag = {0: Lag(records=0, seconds=0.0)}
    metrics = ApplyMetrics(telemetry.meter, "transfers", "bank", lambda: lag)
    stages = dict.fromkeys(names.STAGES, 0.0)
    metrics.batch(1, {"POSTED": 1}, {"UNDECODABLE": 1}, stages, [0.0])
    metrics.watch_refused(lambda: [0])


def _emit(telemetry: Telemetry) -> None:
    metrics = EmitMetrics(telemetry.meter, "transfers")
    metrics.transaction(names.COMMITTED, sent=1, seconds=0.0)
    metrics.results([0.0])


def _serve(telemetry: Telemetry) -> None:
    http = HttpMetrics(telemetry.meter, telemetry.registry)
    http.request("PUT", "/v1/transfers/{id}", 202, 0.0)
    http.watch(lambda: 0, lambda: 0)
    http.watch_keys(lambda: 0.0)
    follow = FollowMetrics(telemetry.meter)
    follow.followed(1, 1)
    follow.watch(lambda: 0)


def scraped(happen: Callable[[Telemetry], None]) -> Iterator[Metric]:
    """The families on the page of a program, by name."""
    telemetry = Telemetry.start("reference", "0")
    try:
        happen(telemetry)
        page = telemetry.scrape().decode()
    finally:
        telemetry.shutdown()
    found = text_string_to_metric_families(page)
    return iter(sorted(found, key=lambda family: family.name))


def _table(happen: Callable[[Telemetry], None]) -> str:
    reading = alerts()
    rows = []
    for family in scraped(happen):
        name = shown(family)
        if name == "target_info" or name.endswith("_created"):
            continue
        labels = sorted({key for each in family.samples for key in each.labels})
        named = [code(label) for label in labels if label not in OF_HISTOGRAMS]
        readers = [code(alert) for alert, text in reading if name in text]
        text = (family.type, ", ".join(named), family.documentation)
        rows.append((code(name), *text, ", ".join(readers)))
    return table(("metric", "kind", "labels", "", "alerts"), rows)


def shown(family: Metric) -> str:
    """Its name in a query, but for what each histogram adds."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def alerts() -> list[tuple[str, str]]:
    """Each alert of Bank and Store, and what it asks, also by a recorded ratio."""
    every = [rule for path in RULES.values() for rule in rules(path)]
    recorded = {rule["record"]: rule["expr"] for rule in every if "record" in rule}
    return [
        (rule["alert"], re.sub(r"\s+", " ", _asked(rule["expr"], recorded)))
        for rule in every
        if "alert" in rule
    ]


def _asked(expression: str, recorded: dict[str, str]) -> str:
    ratios = [text for name, text in recorded.items() if name in expression]
    return " ".join([expression, *ratios])


def rules(path: str) -> list[dict[str, Any]]:
    """Every rule of the PrometheusRules in a file, group by group."""
    return [rule for group in groups_of(find(path)) for rule in group["rules"]]
