"""How a stack is to be monitored."""

from __future__ import annotations

from pydantic import BaseModel, Field

PROMETHEUS = "prometheus"
ALERTMANAGER = "alertmanager"
SERVERS = (PROMETHEUS, ALERTMANAGER)


class Monitoring(BaseModel):
    """Whom alerts are sent to, and how fast the rules are."""

    alerts_to: str | None = Field(
        None, description="a webhook; none: Alertmanager's page alone shows them"
    )
    hurry: float = Field(
        1.0, ge=1, description="durations of the rules are divided by it, in tests"
    )


def metrics_port(broker: str) -> str:
    """The name of the port at which this broker gives its metrics."""
    return f"{broker}-metrics"


def exporter(node: str) -> str:
    """What gives the metrics of this Postgres: a process, and its port."""
    return f"{node}-exporter"
