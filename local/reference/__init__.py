"""Writes the tables of docs/reference from what the code says of itself."""

from __future__ import annotations
