"""Grafana's dashboards as code: what the manifests bring is made from these panels."""

from __future__ import annotations

import json
from string import ascii_uppercase
from typing import Any

from local.reference.dashboards.kafka import KAFKA
from local.reference.dashboards.money import MONEY
from local.reference.dashboards.panels import Dashboard, Panel
from local.reference.dashboards.platform import PLATFORM
from local.reference.dashboards.postgres import POSTGRES
from once.resources import find

WIDTH, HEIGHT, COLUMNS = 12, 8, 2
# Whoever takes the ConfigMap in has one Prometheus, or chooses.
SOURCE = {
    "name": "source",
    "type": "datasource",
    "query": "prometheus",
    "label": "Prometheus",
}

DASHBOARDS = (MONEY, KAFKA, POSTGRES, PLATFORM)

Document = dict[str, Any]


def files() -> dict[str, str]:
    """The content of each file, by its path from the root."""
    return {each.file: _json(each) for each in DASHBOARDS}


def write() -> list[str]:
    """Write them; the paths of those that changed."""
    changed = []
    for name, content in files().items():
        path = find("README.md").parent / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            changed.append(name)
    return changed


def _json(dashboard: Dashboard) -> str:
    content = {
        "title": dashboard.title,
        "uid": dashboard.uid,
        "tags": ["once"],
        "schemaVersion": 39,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [SOURCE]},
        "panels": [_panel(*each) for each in enumerate(dashboard.panels)],
    }
    return json.dumps(content, indent=2) + "\n"


def _panel(number: int, panel: Panel) -> Document:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "targets": [
            {"refId": letter, "expr": asked, "legendFormat": legend}
            for letter, (legend, asked) in zip(
                ascii_uppercase, panel.lines.items(), strict=False
            )
        ],
    }


def _defaults(panel: Panel) -> Document:
    shown: Document = {"unit": panel.unit, "min": 0}
    if not panel.limits:
        return shown
    steps: list[Document] = [{"color": "green", "value": None}]
    steps += [{"color": "red", "value": limit} for limit in panel.limits]
    return {
        **shown,
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }
