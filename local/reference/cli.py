"""The reference from the command line.

python -m local reference              docs/reference and dashboards, from the code
python -m local sizes --rate 200       what that needs
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psycopg
import typer

from local.platform.platform import Platform, has_ledger
from local.processes.errors import StackError
from local.stack import DEFAULT_STATE_DIR, Stack
from local.stack.cli import StateDir

app = typer.Typer()


@app.command()
def sizes(
    rate: Annotated[
        float, typer.Option(min=0.01, help="Transfers a second, on average.")
    ],
    peak: Annotated[
        float, typer.Option(min=1, help="Times as many at the peak.")
    ] = 5.0,
    log_days: Annotated[float, typer.Option(help="How long topics are kept.")] = 90.0,
    ledger_days: Annotated[float, typer.Option(help="How long rows are.")] = 365.0,
    costs: Annotated[Path | None, typer.Option(help="Costs of your machine.")] = None,
) -> None:
    """What a rate needs: partitions, cores, disks, and what they cost."""
    from local.reference import capacity

    plan = capacity.Plan(rate, peak, log_days=log_days, ledger_days=ledger_days)
    measured = capacity.costs(costs)
    typer.echo(capacity.shown([plan], measured, capacity.Prices()))


@app.command()
def reference(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Make docs/reference's tables and the dashboards anew; ledger.md needs a stack."""
    # Imported here: it has every program of ours with it.
    from local.reference import ledger, pages
    from local.reference.dashboards import files

    made = pages.tables()
    changed = [*files.write(), *pages.write(made)]
    try:
        platform = Platform(Stack.attach(state_dir), "", state_dir / "logs")
        if not has_ledger(platform):
            raise StackError("this stack is not set up")
        with psycopg.connect(platform.conninfo("audit")) as connection:
            changed += pages.write({**made, **ledger.tables(connection)})
    except (StackError, psycopg.OperationalError):
        typer.echo("ledger.md is left as it is: make up set-up, then once more")
    typer.echo(f"changed: {', '.join(changed) or 'nothing'}")
