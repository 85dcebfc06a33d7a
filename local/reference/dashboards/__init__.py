"""Grafana's dashboards: what each shows, and the files that it is brought by."""

from __future__ import annotations
