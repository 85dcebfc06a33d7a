"""The Bank's command line: `python -m consumers.bank run | quarantine ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from consumers.bank import quarantine_cli, supervisor, worker
from consumers.bank.settings import BankSettings
from once import cli, open_files
from once.settings import load

OPEN_FILES = 128  # brokers, the ledger, health, and one for each worker

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
app.add_typer(quarantine_cli.app, name="quarantine")


@app.command()
def run(
    workers: Annotated[
        int, typer.Option(min=1, help="processes that share the partitions")
    ] = 1,
    leashed: Annotated[bool, typer.Option(hidden=True)] = False,
    pulse: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Apply transfers until SIGTERM, which drains and leaves cleanly.

    Settings are BANK_... (docs/operations.md). Exit status 65: a person must decide,
    78: settings or deployment are wrong, 70: start it again.
    """
    settings = load(BankSettings)
    open_files.allow(OPEN_FILES)
    if leashed:
        supervisor.follow_leash()
    if workers == 1:
        worker.run(settings, pulse)
    else:
        raise typer.Exit(supervisor.run(settings, workers))


if __name__ == "__main__":
    cli.run(app)
