"""What every part of a stack can do, whatever it is."""

from __future__ import annotations

from typing import Protocol

from local.processes.process import ManagedProcess


class Part(Protocol):
    """One server, or some of a kind: made of one frozen config, with the same verbs."""

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """By name."""

    def start(self) -> None:
        """Start what does not run, without waiting. Raises StackError."""

    def wait_ready(self) -> None:
        """Until it does what it is there for. Raises StackError."""

    def stop(self) -> None:
        """Stop all of it, cleanly where that is possible; nothing is lost."""
