"""The audit's command line: `python -m consumers.bank.audit`, exit 0 = all holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.run import AuditSettings, audit
from once import cli
from once.errors import ExitStatus
from once.settings import load

stderr = Console(stderr=True, soft_wrap=True)  # a sentence stays one line


def main(
    ack_log: Annotated[
        Path | None,
        typer.Option(exists=True, help="ids that a Store says were acknowledged"),
    ] = None,
    report: Annotated[Path, typer.Option(help="where the JSON goes")] = Path(
        "build/reports/audit.json"
    ),
) -> None:
    """Check every invariant against the log and the ledger, at this moment."""
    settings = load(AuditSettings)
    with stderr.status("auditing") as status:
        result = audit(settings, ack_log, status.update)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(result.model_dump_json(indent=2) + "\n")
    show(result, Console())
    raise typer.Exit(ExitStatus.DONE if result.invariants_ok else ExitStatus.NOT_ALL)


def show(result: AuditReport, console: Console) -> None:
    """The report as a table for people, and what breaks an invariant by name."""
    table = Table(title=f"audit of {result.records:,} records in {result.seconds} s")
    table.add_column("")
    table.add_column("invariant")
    table.add_column("checked", justify="right")
    table.add_column("broken", justify="right")
    for name, line in result.invariants.items():
        mark = "[green]ok[/]" if line.holds else "[red]broken[/]"
        broken = str(line.violations) if line.violations else ""
        table.add_row(name, line.meaning, f"{line.checked:,}", broken or mark)
    console.print(table)
    for name, line in result.invariants.items():
        for finding in line.findings:
            console.print(f"{name}: {finding}", markup=False, highlight=False)
    for note in result.notes:
        console.print(note, markup=False, highlight=False)


if __name__ == "__main__":
    cli.run(lambda: typer.run(main))
