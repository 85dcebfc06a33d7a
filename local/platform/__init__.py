"""Ledger, topics and our programs on a running stack: for the demo and all tests."""

from __future__ import annotations

from local.platform.platform import Platform, platforms
from local.platform.program import Program

__all__ = ["Platform", "Program", "platforms"]
