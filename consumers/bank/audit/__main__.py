"""The audit's command line: `python -m consumers.bank.audit`, exit 0 = all holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from consumers.bank.audit.run import AuditSettings, audit
from consumers.bank.audit.show import show
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
    """Check the eleven invariants against the log and the ledger, at this moment.

    It changes nothing, and may run beside everything. Settings are AUDIT_...
    (docs/operations.md); what they are: docs/invariants.md. Exit status 0: all hold,
    1: one is broken, and its records are named, 70: something could not be read.
    """
    settings = load(AuditSettings)
    with stderr.status("auditing") as status:
        result = audit(settings, ack_log, status.update)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(result.model_dump_json(indent=2) + "\n")
    show(result, Console())
    raise typer.Exit(ExitStatus.DONE if result.invariants_ok else ExitStatus.NOT_ALL)


if __name__ == "__main__":
    cli.run(lambda: typer.run(main))
