"""The tables inside a page: what is between two markers is made, the rest is written.

<!-- table: settings BANK -->
...
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from local.processes.errors import StackError

BLOCK = re.compile(r"^(<!-- table: ([^\n]+) -->\n).*?^(<!-- end -->)$", re.M | re.S)
RUNBOOK = re.compile(r"\brunbook ([a-z-]+)")

Table = Callable[[], str]


def filled(page: str, tables: Mapping[str, Table]) -> str:
    """The page with its tables as they are now.

    Raises StackError for a table that nobody makes.
    """

    def fill(found: re.Match[str]) -> str:
        opening, name, closing = found.groups()
        if name not in tables:
            raise StackError(f"no table {name!r}; there are {', '.join(tables)}")
        return f"{opening}\n{tables[name]()}\n{closing}"

    return BLOCK.sub(fill, page)


def named(page: str) -> list[str]:
    """The tables that a page has."""
    return [name for _, name, _ in BLOCK.findall(page)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; `runbook NAME` in a cell becomes a link."""
    lines = [header, ["---"] * len(header), *(map(_cell, row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def code(text: str) -> str:
    """As code, where there is any."""
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    one_line = " ".join(text.split()).replace("|", "\\|")
    return RUNBOOK.sub(r"[\1](../runbooks/\1.md)", one_line)
