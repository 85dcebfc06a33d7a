"""Ends the stack when the Python that started it dies, however it dies.

A child process that reads a pipe whose other end is in the parent. The end of file
without a word before it means that the parent is gone: killed, crashed, interrupted.
(PR_SET_PDEATHSIG would fire when the *thread* that started a server ends, and would
not reach a postmaster, which leaves Patroni's process tree.)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.processes.layout import Layout
from local.processes.sweep import kill_all

LET_GO = b"let go\n"


class Watchdog:
    """The parent's side."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "local.processes.watchdog", str(self._layout.root)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def let_go(self) -> None:
        """Leave the stack alone from now on."""
        if self._child is not None:
            try:
                self._child.communicate(LET_GO)
            except BrokenPipeError:
                self._child.wait()
            self._child = None


def watch(layout: Layout) -> None:
    """The child's side: wait for the word or the end."""
    if sys.stdin.buffer.readline() != LET_GO:
        kill_all(layout)


if __name__ == "__main__":
    watch(Layout(Path(sys.argv[1])))
