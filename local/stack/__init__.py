"""Kafka, the schema registry and Postgres on this machine, started together.

with Stack(StackConfig(state_dir=Path("build/stack"))) as stack:
    connect(stack.endpoints.bootstrap_servers)
"""

from __future__ import annotations

from local.stack.config import DEFAULT_STATE_DIR, StackConfig
from local.stack.stack import Stack

__all__ = ["DEFAULT_STATE_DIR", "Stack", "StackConfig"]
