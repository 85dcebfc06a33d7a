"""A report for people: the table at the end of an audit, and of both demos."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from consumers.bank.audit.report import AuditReport


def show(result: AuditReport, console: Console) -> None:
    """The report as a table for people, and what breaks an invariant by name."""
    table = Table(title=f"audit of {result.records:,} records in {result.seconds} s")
    table.add_column("")
    table.add_column("invariant")
    table.add_column("checked", justify="right")
    table.add_column("broken", justify="right")
    for name, line in result.invariants.items():
        mark = "[green]ok[/]" if line.holds else "[red]broken[/]"
        if line.accepted:
            mark += f" ({line.accepted} accepted)"
        broken = str(line.violations) if line.violations else ""
        table.add_row(name, line.meaning, f"{line.checked:,}", broken or mark)
    console.print(table)
    for name, line in result.invariants.items():
        for finding in line.findings:
            console.print(f"{name}: {finding}", markup=False, highlight=False)
    for note in filter(None, [*result.notes, str(result.behind)]):
        console.print(note, markup=False, highlight=False)
