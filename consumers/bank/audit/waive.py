"""Signs waivers, for who has the private key: `-m consumers.bank.audit.waive`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from consumers.bank.audit.report import INVARIANTS, AuditReport
from consumers.bank.audit.waivers import Waiver, load_private_key
from once import cli
from once.errors import Defect


def main(
    report: Annotated[Path, typer.Argument(help="of the audit that named it")],
    *,
    invariant: Annotated[str, typer.Option(help="I1 to I11")],
    number: Annotated[int, typer.Option(min=1, help="which of its findings, from 1")],
    who: Annotated[str, typer.Option(help="answers for it")],
    why: Annotated[str, typer.Option(help="it is known, and bearable")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="the last day")],
    key: Annotated[Path, typer.Option(help="Ed25519 private key, PEM")],
) -> None:
    """Print a waiver of one finding of a report, signed: a line for AUDIT_WAIVERS."""
    try:
        found = AuditReport.model_validate_json(report.read_text())
    except (OSError, ValueError) as error:
        raise Defect(f"{report} is no report of the audit: {error}") from error
    if invariant not in INVARIANTS:
        raise Defect(f"there is no invariant {invariant}: {', '.join(INVARIANTS)}")
    findings = found.invariants[invariant].findings
    if number > len(findings):
        raise Defect(f"{report} has {len(findings)} findings of {invariant}")
    waiver = Waiver(
        invariant=invariant,
        finding=findings[number - 1],
        who=who,
        why=why,
        until=until.date(),
    )
    typer.echo(waiver.sign(load_private_key(key)).model_dump_json())


if __name__ == "__main__":
    cli.run(lambda: typer.run(main))
