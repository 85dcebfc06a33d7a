"""The pages of docs/reference, with their tables made anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local.reference import capacity, commands, metrics, schemas, settings
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
        **capacity.tables(),
    }


def pages(made: Mapping[str, Table]) -> list[Path]:
    """The pages that have tables, all of them in `made`."""
    found = {page: named(page.read_text()) for page in find(FOLDER).glob("*.md")}
    return sorted(page for page, has in found.items() if has and made.keys() >= {*has})


def write(made: Mapping[str, Table]) -> list[str]:
    """Make the tables of these pages anew; the names of those that changed."""
    changed = []
    for page in pages(made):
        old = page.read_text()
        new = filled(old, made)
        if new != old:
            page.write_text(new)
            changed.append(page.name)
    return changed
