"""What a person sees of work that takes minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


def say(doing: str) -> None:
    """Tell a person what is going on."""
    console.print(f"  {doing}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """A step of some minutes: its name, and how long it took."""
    console.print(f"[bold]{name}[/]")
    began = time.monotonic()
    yield
    console.print(f"  [green]done[/] in {time.monotonic() - began:.0f} s")
