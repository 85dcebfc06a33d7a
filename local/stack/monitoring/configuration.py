"""What Prometheus, Alertmanager and the exporter of Postgres are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from local.stack.endpoints import HOST, broker_names, postgres_names
from local.stack.monitored import (
    ALERTMANAGER,
    Monitoring,
    exporter,
    metrics_port,
)
from local.stack.monitoring.rules import ROOT, groups

INTERVAL_SECONDS = 5.0
INTERVAL_SECONDS_MIN = 1.0
RULES, TARGETS = "rules.yaml", "targets"
# The labels that Kubernetes would give; the rules ask for them.
NAMESPACE = "once"
QUERIES = ROOT / "postgres" / "base" / "queries.yaml"

Document = dict[str, Any]


def prometheus(
    asked: Monitoring, ports: Mapping[str, int], *, brokers: int, postgres: int
) -> dict[str, Document]:
    """Its files, by name."""
    interval = max(INTERVAL_SECONDS_MIN, INTERVAL_SECONDS / asked.hurry)
    every = f"{interval:g}s"
    kafka = [target(name, ports[metrics_port(name)]) for name in broker_names(brokers)]
    ledger = [target(name, ports[exporter(name)]) for name in postgres_names(postgres)]
    main = {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": every,
        },
        "rule_files": [RULES],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [at(ports[ALERTMANAGER])]}]}
            ]
        },
        "scrape_configs": [
            {"job_name": "kafka", "static_configs": kafka},
            {"job_name": "ledger", "static_configs": ledger},
            {
                "job_name": "programs",
                "file_sd_configs": [
                    {"files": [f"{TARGETS}/*.json"], "refresh_interval": every}
                ],
            },
        ],
    }
    return {"prometheus.yaml": main, RULES: {"groups": groups(asked.hurry)}}


def alertmanager(asked: Monitoring) -> Document:
    """One receiver, with everything; to nobody unless somebody is named."""
    wait = f"{max(1, round(30 / asked.hurry))}s"
    hooks = [{"url": asked.alerts_to, "send_resolved": True}] if asked.alerts_to else []
    return {
        "route": {
            "receiver": "all",
            "group_by": ["alertname"],
            "group_wait": "1s",
            "group_interval": wait,
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "all", "webhook_configs": hooks}],
    }


def queries() -> Document:
    """The operator's questions to the ledger, and those of PGO that alerts ask for.

    A metric is named by the key and the column here, by a name of its own there.
    """
    said = yaml.safe_load(QUERIES.read_text(encoding="utf-8"))
    found = {
        "ccp_connection_stats": _query(
            "SELECT count(*) AS total, max(current_setting('max_connections')::int)"
            " AS max_connections FROM pg_catalog.pg_stat_activity",
            ["total", "max_connections"],
        )
    }
    for each in said:
        for metric in each["metrics"]:
            key, _, column = metric["metric_name"].rpartition("_")
            asked = (
                f"SELECT {metric['value_column']} AS {column} FROM ({each['sql']}) a"
            )
            found[key] = _query(asked, [column])
    return found


def at(port: int) -> str:
    """An address on this machine."""
    return f"{HOST}:{port}"


def target(pod: str, port: int) -> Document:
    """What is scraped there, as if it were a pod."""
    return {"targets": [at(port)], "labels": {"namespace": NAMESPACE, "pod": pod}}


def _query(sql: str, columns: list[str]) -> Document:
    gauges = [{column: {"usage": "GAUGE", "description": column}} for column in columns]
    return {"query": sql, "metrics": gauges}
