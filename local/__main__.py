"""`python -m local`: stack, platform and cluster from the command line.

    python -m local up                       Kafka, the registry and Postgres
    python -m local run once migrate         a program of ours, with their settings
    python -m local kind up                  all of it on a local Kubernetes

`make help` lists what is used every day. Apart from it, as each says: local.machine,
local.tools, and what we start as processes of our own.
"""

from __future__ import annotations

import os
import sys

import typer

from local.kube import cli as kind
from local.kube import new_environment_cli as new_environment
from local.platform import cli as platform
from local.processes.files import UMASK
from local.reference import cli as reference
from local.stack import cli as stack
from once.errors import OnceError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(stack.app)
app.add_typer(platform.app)
app.add_typer(reference.app)
app.add_typer(kind.app, name="kind")
app.add_typer(new_environment.app)


@app.callback()
def narrow(context: typer.Context) -> None:
    """Kafka, Postgres and our programs on this machine."""
    if context.invoked_subcommand != "kind":  # what is built for a cluster is for all
        os.umask(UMASK)


def main() -> None:
    """Run a command; one sentence when it cannot be done."""
    try:
        app()
    except OnceError as error:
        sys.exit(f"local: {error}")


if __name__ == "__main__":
    main()
