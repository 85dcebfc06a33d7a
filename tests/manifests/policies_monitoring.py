"""What alerts and dashboards ask is scraped by somebody in that environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from local.stack.monitoring.rules import metrics
from tests.manifests.overlays import Object, dig, kinds, named

PROMETHEUS = "monitoring"  # the Application


def what_is_asked_is_scraped(objects: list[Object]) -> list[str]:
    """An alert that asks nobody never fires, and a panel stays empty."""
    if _values(objects, PROMETHEUS) is None:
        return []  # no Prometheus at all
    found = {
        f"{where} asks {metric}, and nobody scrapes it"
        for where, expression in [*_of_rules(objects), *_of_dashboards(objects)]
        for metric in metrics(expression)
        if not _is_scraped(metric, objects)
    }
    return sorted(found)


def _of_rules(objects: list[Object]) -> Iterator[tuple[str, str]]:
    for rules in kinds(objects, "PrometheusRule"):
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                yield f"{named(rules)}: {name}", rule["expr"]


def _of_dashboards(objects: list[Object]) -> Iterator[tuple[str, str]]:
    for found in kinds(objects, "ConfigMap"):
        if "grafana_dashboard" in found["metadata"].get("labels", {}):
            for content in found["data"].values():
                for panel in json.loads(content)["panels"]:
                    for target in panel.get("targets", ()):
                        yield f"{named(found)}: {panel['title']}", target["expr"]


def _is_scraped(metric: str, objects: list[Object]) -> bool:
    for prefix, sources in SOURCES:
        if metric.startswith(prefix):
            return all(source(objects) for source in sources)
    return False


def _values(objects: list[Object], name: str) -> Any:
    """What an Application tells its chart; None where there is no such one."""
    for app in kinds(objects, "Application"):
        if app["metadata"]["name"] == name:
            return dig(app, "spec", "source", "helm", "valuesObject") or {}
    return None


Source = Callable[[list[Object]], bool]


def _monitor(name: str) -> Source:
    """A PodMonitor of that name."""
    return lambda objects: any(
        monitor["metadata"]["name"] == name for monitor in kinds(objects, "PodMonitor")
    )


def _chart(app: str, *way: str, default: object = None) -> Source:
    """Something that a chart does when it is told so."""

    def is_on(objects: list[Object]) -> bool:
        found = dig(_values(objects, app) or {}, *way)
        return (default if found is None else found) is True

    return is_on


def _asked(kind: str, *way: str) -> Source:
    """Something that an operator does when its resource asks for it."""
    return lambda objects: any(
        dig(each, "spec", *way) is not None for each in kinds(objects, kind)
    )


# How a metric begins, the special before the general, and all that brings it.
SOURCES: tuple[tuple[str, tuple[Source, ...]], ...] = (
    ("up", ()),
    (
        "kubelet_",
        (
            _chart(PROMETHEUS, "kubelet", "enabled"),
            _chart(PROMETHEUS, "prometheusOperator", "kubeletService", "enabled"),
        ),
    ),
    ("kube_", (_chart(PROMETHEUS, "kubeStateMetrics", "enabled", default=True),)),
    ("certmanager_", (_chart("cert-manager", "prometheus", "podmonitor", "enabled"),)),
    ("argocd_", (_monitor("argocd"),)),
    ("strimzi_", (_monitor("strimzi"),)),
    ("kafka_consumergroup_", (_monitor("kafka"), _asked("Kafka", "kafkaExporter"))),
    ("kafka_", (_monitor("kafka"), _asked("Kafka", "kafka", "metricsConfig"))),
    *(
        (prefix, (_monitor("ledger"), _asked("PostgresCluster", "instrumentation")))
        for prefix in ("ccp_", "once_ledger_")
    ),
    *(
        (prefix, (_monitor("store"),))
        for prefix in (
            "http_server_",
            "once_backlog_",
            "once_followed_",
            "once_transaction",
            "once_records_acknowledged_",
        )
    ),
    *((prefix, (_monitor("bank"),)) for prefix in ("once_", "messaging_client_")),
)
