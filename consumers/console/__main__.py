"""The console's command line: `python -m consumers.console peek`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from consumers.console.peek import Request, Start, newest
from consumers.console.peek import peek as sightings
from consumers.console.settings import PeekSettings
from consumers.console.show import Shown, json_line, pretty, safe, shown
from consumers.console.values import ValueDecoder
from once import cli, logs
from once.errors import ExitStatus
from once.registry import Registry
from once.settings import load

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
stderr = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


@app.callback()
def _main() -> None:
    """Looks into the platform; changes nothing."""


@app.command()
def peek(
    topic: Annotated[
        str, typer.Argument(help="transfers, transfer-results or transfer-receipts")
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="beginning|end|OFFSET",
            help="where to begin; -N is N offsets before the end, per partition; "
            "else what comes from now on, or the newest --count records",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="stop after so many records")
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="this one only; else all")
    ] = None,
    follow: Annotated[
        bool | None,
        typer.Option(help="wait for more, or stop at what is the end now"),
    ] = None,
) -> None:
    """Show a topic's records: committed, aborted or still open, with Avro decoded.

    On a terminal for people, otherwise one JSON object per line. It joins no group and
    commits nothing. A record that was shown as open is shown again once it is decided.
    """
    last = count if start is None and not follow else None  # those that are there
    follow = last is None if follow is None else follow
    request = Request(topic, _start(start or "end"), partition, count, follow)
    settings = load(PeekSettings)
    # Who follows is told of connections that fail; else the last sentence names them.
    logs.configure("peek", "0", "warning" if follow else "error")
    if follow and stderr.is_terminal:
        where = f"{safe(topic)} from {start or 'end'}"
        stderr.print(f"following {where}; Ctrl-C ends", style="dim")
    write = _writer()
    registry = Registry(settings.registry_url, settings.registry_ca)
    try:
        decoder = ValueDecoder(registry)
        if last is not None:
            found = iter(newest(settings.client, topic, last, partition))
        else:
            found = sightings(settings.client, request)
        for sighting in found:
            write(shown(sighting, decoder))
    except KeyboardInterrupt as error:
        raise typer.Exit(ExitStatus.INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from error
    finally:
        registry.close()


def _start(text: str) -> Start:
    if text == "beginning" or text == "end":
        return "beginning" if text == "beginning" else "end"
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"--from {text!r} is neither beginning, end nor an offset"
        ) from error


def _writer() -> Callable[[Shown], None]:
    """How records are written: for people on a terminal, else for programs."""
    stdout = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if stdout.is_terminal:
        return lambda of: stdout.print(pretty(of))
    return lambda of: print(json_line(of), flush=True)


if __name__ == "__main__":
    cli.run(app)
