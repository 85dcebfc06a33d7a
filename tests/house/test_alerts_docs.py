"""docs/reference/alerts.md has one row for each alert, which leads to its runbook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from local.reference.metrics import rules
from tests.house.tree import ROOT, files, text

PAGE = Path("docs/reference/alerts.md")
ROW = re.compile(r"^\| `(\w+)` \((\w+)\) \|(.+)\|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)")
REPOSITORY = re.compile(r"^https://github\.com/[\w.-]+/[\w.-]+/blob/main/")  # a fork's
COLUMNS = 5  # alert, fires when, it means, look, do


class Alert(NamedTuple):
    """What both sides say of one."""

    name: str
    severity: str


def alerts() -> Iterator[dict[str, Any]]:
    """Every alert of every PrometheusRule."""
    for path in files():
        content = text(path) if path.suffix == ".yaml" else None
        if content and "kind: PrometheusRule" in content:
            yield from (rule for rule in rules(str(path)) if "alert" in rule)


def page_of(url: str) -> Path:
    """The file that a runbook_url leads to, from ROOT."""
    return Path(REPOSITORY.sub("", url))


def named(rule: dict[str, Any]) -> Alert:
    return Alert(rule["alert"], rule["labels"]["severity"])


def rows(content: str) -> dict[Alert, str]:
    """The cells behind the name, by alert."""
    return {Alert(name, how): cells for name, how, cells in ROW.findall(content)}


def pages(cells: str) -> set[Path]:
    """What a row's links lead to, from ROOT."""
    found = ((ROOT / PAGE.parent / link).resolve() for link in LINK.findall(cells))
    return {path.relative_to(ROOT) for path in found}


def test_there_is_one_row_for_each_alert_and_no_other() -> None:
    content = text(PAGE) or ""
    there = [named(rule) for rule in alerts()]
    assert len(there) > 30 and len(set(there)) == len(there)
    assert sorted(rows(content)) == sorted(there)
    assert len(ROW.findall(content)) == len(there), "a row is there twice"


def test_every_row_says_all_and_leads_to_the_runbook_of_its_alert() -> None:
    said = rows(text(PAGE) or "")
    for rule in alerts():
        cells = said[named(rule)]
        assert cells.count("|") == COLUMNS - 2, rule["alert"]
        assert all(cell.strip() for cell in cells.split("|")), rule["alert"]
        runbook = page_of(rule["annotations"]["runbook_url"])
        assert (ROOT / runbook).exists() and runbook in pages(cells), rule["alert"]


def test_an_alert_without_a_row_is_noticed() -> None:
    row = "| `BankAway` (critical) | a | b | c | [d](../runbooks/bank-not-ready.md) |"
    ((alert, cells),) = rows(row).items()
    assert alert == Alert("BankAway", "critical")
    assert pages(cells) == {Path("docs/runbooks/bank-not-ready.md")}
    assert not rows(row.replace("(critical)", ""))
