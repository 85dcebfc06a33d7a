"""The pages of docs/reference, with their tables made anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local.reference import commands, metrics, schemas, settings
from local.reference.blocks import Table, filled, named
from once.resources import find

FOLDER = "docs/reference"


def tables() -> dict[str, Table]:
    """Every table that needs nothing but the code."""
    return {
        **settings.tables(),
        **metrics.tables(),
        **schemas.tables(),
        **commands.tables(),
    }


def pages() -> list[Path]:
    """The pages that have tables."""
    found = sorted(find(FOLDER).glob("*.md"))
    return [page for page in found if named(page.read_text())]


def write(made: Mapping[str, Table]) -> list[str]:
    """Make the tables of each page that has all of its in `made`; who changed."""
    changed = []
    for page in pages():
        old = page.read_text()
        if not made.keys() >= set(named(old)):
            continue
        new = filled(old, made)
        if new != old:
            page.write_text(new)
            changed.append(page.name)
    return changed
