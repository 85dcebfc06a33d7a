"""docs/reference says what the code says: its tables are fresh, its words are used."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from local.reference import metrics, pages
from local.reference.blocks import filled, named
from local.reference.dashboards.files import files as dashboards
from local.reference.settings import KINDS, variable
from once.errors import ExitStatus
from tests.house.tree import ROOT, files, text

FOLDER = ROOT / "docs/reference"
OF_LEDGER = {"ledger", "rights"}  # tests/integration/test_reference_ledger.py
LEVELS = {"info", "warning", "error", "critical", "exception"}


@pytest.mark.parametrize(
    "page", pages.pages(pages.tables()), ids=lambda page: page.name
)
def test_the_tables_of_a_page_are_as_the_code_has_them(page: Path) -> None:
    content = page.read_text()
    assert filled(content, pages.tables()) == content, "make reference"


@pytest.mark.parametrize("file", dashboards())
def test_a_dashboard_is_as_the_code_has_it(file: str) -> None:
    assert text(Path(file)) == dashboards()[file], "make reference"


def test_every_table_is_in_one_page() -> None:
    shown = [name for page in FOLDER.glob("*.md") for name in named(page.read_text())]
    assert sorted(shown) == sorted({*pages.tables(), *OF_LEDGER})


def test_a_table_that_is_not_fresh_is_noticed() -> None:
    page = "a\n<!-- table: x -->\n| old |\n<!-- end -->\nb\n"
    assert filled(page, {"x": lambda: "| new |\n"}) == page.replace(
        "| old |", "\n| new |\n"
    )


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: str(kind.__name__))
def test_every_setting_says_what_it_is(kind: type[BaseSettings]) -> None:
    silent = [name for name, each in kind.model_fields.items() if not each.description]
    assert silent == []


def test_no_page_names_a_setting_that_nobody_reads() -> None:
    known = {variable(kind, n) for kind in KINDS.values() for n in kind.model_fields}
    documents = [path for path in files() if path.suffix == ".md"]
    unread = {
        f"{path}: {setting}"
        for path in documents
        for setting in re.findall(
            r"`((?:AUDIT|BANK|PEEK|SMOKE|STORE)_[A-Z_]*[A-Z])`", text(path) or ""
        )
        if setting not in known
    }
    assert unread == set()


def test_every_metric_of_an_alert_is_one_that_a_program_shows() -> None:
    made = (metrics.tables()[f"metrics {name}"]() for name in ("bank", "store serve"))
    emitted = metrics.tables()["metrics store emit"]()
    shown = set(re.findall(r"^\| `(\w+)`", "\n".join([*made, emitted]), re.MULTILINE))
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", metric)
        for _, expression in metrics.alerts()
        for metric in re.findall(
            r"\b(?:once|messaging|http_server)_\w+(?=[{\[ )])", expression
        )
    }
    asked -= {label for label in asked if label.startswith("messaging_destination")}
    assert len(asked) > 12
    assert sorted(asked - shown) == []


def logged() -> dict[str, set[str]]:
    """Every event of the programs, with the levels that it is logged at."""
    found = defaultdict(set)
    for path in files():
        if path.suffix == ".py" and path.parts[0] in ("once", "consumers", "producers"):
            for node in ast.walk(ast.parse(text(path) or "")):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                        args=[ast.Constant(value=str(event)), *_],
                    ) if (
                        level in LEVELS
                    ):
                        found[event].add(level.replace("exception", "error"))
    return found


def events() -> dict[str, str]:
    """Every event of the page, with what it says of its level."""
    rows = re.findall(
        r"^\| (`.+?`) \| ([a-z, ]+) \|",
        (FOLDER / "events.md").read_text(),
        re.MULTILINE,
    )
    return {
        event: level for cell, level in rows for event in re.findall(r"`([^`]+)`", cell)
    }


def test_every_event_of_a_log_is_in_the_page_with_its_level() -> None:
    made, told = logged(), events()
    assert len(made) > 50
    assert sorted(told) == sorted(made)
    wrong = [
        f"{event}: {levels}"
        for event, levels in made.items()
        if not all(level in told[event] for level in levels)
    ]
    assert wrong == []


def test_every_exit_status_is_in_the_page() -> None:
    content = (FOLDER / "exit-statuses.md").read_text()
    first = content.split("## By program")[0]
    rows = re.findall(r"^\| (\d+) \|", first, re.MULTILINE)
    assert set(rows) == {str(int(each)) for each in ExitStatus} | {"2"}
