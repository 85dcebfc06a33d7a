"""Kubernetes on one machine: programs built here, a control plane, a kind cluster."""

from __future__ import annotations
