"""What a check found, and how all of it is shown.

A check is a plain function that yields Findings. It raises what the rest of the engine
raises when it cannot ask; `guarded` turns that into a finding, so that one part that is
away hides nothing of the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from rich.table import Table
from rich.text import Text

from once.errors import Defect, ExitStatus, OnceError, Refused


class Level(StrEnum):
    """How bad it is; the last two are called what a program that meets them raises."""

    GOOD = "good"
    WARNING = "warning"
    DEFECT = "defect"  # the programs cannot work with this, and harm nothing
    REFUSED = "refused"  # they could work, and lose or repeat what was promised


_STYLES = {
    Level.GOOD: "green",
    Level.WARNING: "yellow",
    Level.DEFECT: "red",
    Level.REFUSED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, what it looked for, and what to do about it."""

    check: str
    level: Level
    found: str
    wanted: str = ""
    cure: str = ""

    def __str__(self) -> str:
        """One sentence, for logs and errors."""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{self.check}: {self.found} (wanted: {self.wanted}){cure}"


def good(check: str, found: str) -> Finding:
    """All is well here."""
    return Finding(check, Level.GOOD, found)


def guarded(check: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; where asking fails, that is the last one."""
    try:
        yield from findings
    except OnceError as error:
        yield Finding(check, Level.DEFECT, str(error), "an answer")


def require(findings: Iterable[Finding]) -> list[Finding]:
    """The warnings. Raises Refused or Defect for what is worse, naming all of it."""
    found = list(findings)
    for level, kind in ((Level.REFUSED, Refused), (Level.DEFECT, Defect)):
        worst = [str(each) for each in found if each.level is level]
        if worst:
            raise kind("; ".join(worst))
    return [each for each in found if each.level is Level.WARNING]


def exit_status(findings: Iterable[Finding]) -> ExitStatus:
    """What the errors of these names would end a program with."""
    levels = {finding.level for finding in findings}
    if Level.REFUSED in levels:
        return ExitStatus.REFUSED
    return ExitStatus.DEFECT if Level.DEFECT in levels else ExitStatus.DONE


def as_json(findings: Iterable[Finding]) -> str:
    """For programs: an array of objects with the fields of Finding."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def as_table(findings: Iterable[Finding]) -> Table:
    """For people."""
    table = Table()
    for column in ("", "check", "found", "wanted", "cure"):
        table.add_column(column, overflow="fold")
    for each in findings:
        level = Text(each.level, _STYLES[each.level])
        texts = (each.check, each.found, each.wanted, each.cure)
        table.add_row(level, *map(Text, texts))  # a text may look like markup
    return table
