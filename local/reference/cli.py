"""The reference from the command line.

python -m local reference              docs/reference and dashboards, from the code
"""

from __future__ import annotations

import psycopg
import typer

from local.platform.platform import Platform
from local.processes.errors import StackError
from local.stack import DEFAULT_STATE_DIR, Stack
from local.stack.cli import StateDir

app = typer.Typer()


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
        with psycopg.connect(platform.conninfo("audit")) as connection:
            changed += pages.write({**made, **ledger.tables(connection)})
    except (StackError, psycopg.OperationalError):
        typer.echo("ledger.md is left as it is: make up set-up, then once more")
    typer.echo(f"changed: {', '.join(changed) or 'nothing'}")
