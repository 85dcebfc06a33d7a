"""Load tests on the local stack: `python -m loadtest SCENARIO` (--help lists them).

Starts a stack of its own where none runs, and stops it again; `cluster` goes to the
Store of a local cluster. Every scenario writes
build/reports/loadtest-<scenario>.json.
"""

from __future__ import annotations

import json
import os
import platform as machine
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtest import cluster as on_cluster
from loadtest import http as http_api
from loadtest import scenarios
from local.stack import DEFAULT_STATE_DIR, Stack, StackConfig
from local.tools import STATE_DIR_VARIABLE
from once.errors import OnceError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
REPORTS = Path("build/reports")
Workers = Annotated[int, typer.Option(min=1, help="Bank workers")]
Count = Annotated[int, typer.Option(min=1000, help="transfers in the backlog")]


@app.command()
def drain(count: Count = 2_000_000, workers: Workers = 2) -> None:
    """Apply a backlog as fast as it goes, results on."""
    with _stack() as stack:
        _write(scenarios.drain(stack, count, workers))


@app.command()
def audit(count: Count = 2_000_000, workers: Workers = 2) -> None:
    """How fast the audit reads a backlog that was applied just before."""
    with _stack() as stack:
        _write(scenarios.audit(stack, count, workers))


@app.command()
def stream(
    rate: Annotated[int, typer.Option(min=1, help="transfers a second")] = 30_000,
    seconds: Annotated[float, typer.Option(help="how long")] = 30.0,
    workers: Workers = 2,
) -> None:
    """Emit at a steady rate while the Bank follows; latency end to end."""
    with _stack() as stack:
        _write(scenarios.stream(stack, rate, seconds, workers))


@app.command()
def telemetry(count: Count = 1_000_000, workers: Workers = 2) -> None:
    """What telemetry costs: drains with it and without, in turn."""
    with _stack() as stack:
        _write(scenarios.telemetry(stack, count, workers))


@app.command()
def http(
    seconds: Annotated[float, typer.Option(help="of each run")] = 20.0,
) -> None:
    """The Store's HTTP API: single PUTs, a steady rate of them, batches."""
    with _stack() as stack:
        _write(http_api.http(stack, seconds))


@app.command()
def cluster(
    rate: Annotated[float, typer.Option(min=1, help="PUTs a second")] = 100.0,
    seconds: Annotated[float, typer.Option(help="of each run")] = 20.0,
    connections: Annotated[int, typer.Option(min=1, help="kept alive")] = 50,
) -> None:
    """PUTs at a steady rate to the Store of a cluster that `make kind-up` made."""
    _write(on_cluster.cluster(rate, seconds, connections))


@contextmanager
def _stack() -> Iterator[Stack]:
    state_dir = Path(os.environ.get(STATE_DIR_VARIABLE, DEFAULT_STATE_DIR))
    if Stack.running(state_dir):
        yield Stack.attach(state_dir)
        return
    config = StackConfig(
        state_dir=state_dir,
        jars_dir=state_dir / "jars",
        full_jit=True,  # brokers as in production: slower for a minute, then faster
    )
    with Stack(config) as stack:
        yield stack


def _write(result: dict[str, object]) -> None:
    result["machine"] = {"cores": os.cpu_count(), "python": machine.python_version()}
    REPORTS.mkdir(parents=True, exist_ok=True)
    path = REPORTS / f"loadtest-{result['scenario']}.json"
    text = json.dumps(result, indent=2)
    path.write_text(text + "\n")
    Console().print_json(text)
    Console(stderr=True).print(f"written to {path}")


if __name__ == "__main__":
    try:
        app()
    except OnceError as error:
        sys.exit(f"loadtest: {error}")
