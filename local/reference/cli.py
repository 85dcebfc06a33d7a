"""The reference from the command line.

python -m local reference              tables of docs/reference, from the code
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
    """Make the tables of docs/reference anew; the ledger's need a stack that runs."""
    # Imported here: it has every program of ours with it.
    from local.reference import ledger, pages

    made = pages.tables()
    changed = pages.write(made)
    try:
        platform = Platform(Stack.attach(state_dir), "", state_dir / "logs")
        with psycopg.connect(platform.conninfo("audit")) as connection:
            changed += pages.write({**made, **ledger.tables(connection)})
    except (StackError, psycopg.OperationalError):
        typer.echo("ledger.md is left as it is: make up set-up, then once more")
    typer.echo(f"changed: {', '.join(changed) or 'nothing'}")
