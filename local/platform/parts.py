"""Which process is which, for a person who wants to kill one."""

from __future__ import annotations

import psutil

from local.processes.errors import StackError
from local.stack import Stack

PRIMARY, WORKER = "primary", "bank"


def pid_of(stack: Stack, part: str) -> int:
    """The process of a part of the stack, of its primary, or of one Bank worker.

    Raises StackError for a part that is not there, or does not run.
    """
    if part == WORKER:
        found = _worker(stack.endpoints.bootstrap_servers)
    else:
        name = stack.postgres.leader() if part == PRIMARY else part
        if name not in stack.processes:
            known = ", ".join([PRIMARY, WORKER, *stack.processes])
            raise StackError(f"no part {part!r} now; there are {known}")
        found = stack.processes[name].pid
    if found is None:
        raise StackError(f"{part} does not run: make up, or make bank, starts it")
    return found


def _worker(bootstrap_servers: str) -> int | None:
    """One worker that some `run --workers N` keeps running on these brokers."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        try:
            if {"consumers.bank", "--leashed"} <= set(
                command
            ) and process.environ().get("BANK_BOOTSTRAP_SERVERS") == bootstrap_servers:
                return int(process.pid)
        except psutil.Error:
            continue  # it has ended, or is somebody else's
    return None
