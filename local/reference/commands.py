"""The command lines of our programs, as typer has them, and the targets of make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import typer
from typer.main import get_command

from consumers.bank.__main__ import app as bank
from consumers.bank.audit.__main__ import main as audit
from consumers.bank.replay.__main__ import main as replay
from consumers.console.__main__ import app as console
from local.reference.blocks import Table, code, table
from once.__main__ import app as once
from once.resources import find
from producers.store.__main__ import app as store

COLUMNS = 100
TARGET = re.compile(r"^([a-z%-]+):.*?## (.*)$", re.M)


def _alone(function: Callable[..., None]) -> typer.Typer:
    """A program that is one command."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return app


PROGRAMS: Mapping[str, typer.Typer] = {
    "once": once,
    "producers.store": store,
    "consumers.bank": bank,
    "consumers.bank.audit": _alone(audit),
    "consumers.bank.replay": _alone(replay),
    "consumers.console": console,
}


def tables() -> dict[str, Table]:
    """What each program says of itself, as `commands MODULE`, and `make`."""
    made: dict[str, Table] = {
        f"commands {name}": partial(_program, name, app)
        for name, app in PROGRAMS.items()
    }
    return {**made, "make": _make}


def _program(name: str, app: typer.Typer) -> str:
    helps = _helps(f"python -m {name}", get_command(app))
    return "\n".join(f"```\n{said.rstrip()}\n```\n" for said in helps)


def _helps(line: str, command: Any) -> Iterator[str]:
    """The help of each command; a group is what is in it."""
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            if not each.hidden:
                yield from _helps(f"{line} {name}", each)
        return
    command.rich_markup_mode = None  # no frames: they are as wide as a terminal
    context = command.make_context(
        line, [], resilient_parsing=True, terminal_width=COLUMNS
    )
    yield command.get_help(context)


def _make() -> str:
    content = find("Makefile").read_text()
    rows = [(code(f"make {name}"), said) for name, said in TARGET.findall(content)]
    return table(("target", ""), rows)
