"""How the command line shows a stack: lines while it starts, tables when it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.stack.stack import Stack
from local.stack.status import Status

MEGABYTE = 1024 * 1024


class StartScreen:
    """One line per component, with the seconds it has taken."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: dict[str, float] = {}
        self._doing: dict[str, str] = {}
        self._lock = threading.Lock()
        self._status = console.status("")

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._status:
            yield

    def progress(self, component: str, doing: str | None) -> None:
        """Called from the threads that start the components."""
        with self._lock:
            self._started.setdefault(component, time.monotonic())
            if doing is None:
                self._doing.pop(component, None)
                seconds = time.monotonic() - self._started[component]
                line = f"[green]ready[/] {component:<10} [dim]{seconds:5.1f} s[/]"
                self._console.print(line)
            else:
                self._doing[component] = doing
                if not self._console.is_terminal:
                    self._console.print(f"{component}: {doing} ...")
            busy = [f"{name}: {what}" for name, what in self._doing.items()]
            self._status.update(", ".join(busy))


def show_endpoints(console: Console, stack: Stack) -> None:
    """Where things listen and what to do next."""
    endpoints = stack.endpoints
    table = Table.grid(padding=(0, 2))
    table.add_row("Kafka", endpoints.bootstrap_servers)
    table.add_row("registry", endpoints.registry_url)
    hosts = zip(endpoints.postgres_hosts, endpoints.postgres_ports, strict=True)
    table.add_row("Postgres", ",".join(f"{host}:{port}" for host, port in hosts))
    if stack.monitoring:
        table.add_row("Prometheus", f"{stack.monitoring.prometheus_url}/alerts")
        table.add_row("Alertmanager", stack.monitoring.alertmanager_url)
    table.add_row("state", str(endpoints.state_dir))
    console.print(table)
    console.print(
        "[dim]next: make set-up (ledger, topics, accounts); also make status, "
        'make env, make psql, make kafka-topics ARGS="--list", make down[/]'
    )


def show_status(console: Console, status: Status) -> None:
    table = Table(title_justify="left", box=None, header_style="dim")
    for heading in ("process", "state", "pid", "port", "memory"):
        table.add_column(heading, justify="right" if heading == "memory" else "left")
    for process in status.processes:
        running = process.pid is not None
        table.add_row(
            process.name,
            Text("running", "green") if running else Text("stopped", "red"),
            str(process.pid or ""),
            str(process.port),
            f"{(process.memory_bytes or 0) / MEGABYTE:.0f} MB" if running else "",
        )
    console.print(table)
    kafka = status.kafka
    console.print(
        f"Kafka: {len(kafka.alive)} of {kafka.expected} brokers alive, "
        f"controller {kafka.controller or 'unknown'}"
    )
    answers = "answers" if status.registry_answers else "does not answer"
    console.print(f"registry: {answers}")
    for member in status.members:
        lag = "" if member.lag_bytes is None else f", {member.lag_bytes} bytes behind"
        role = member.role.replace("_", " ")
        console.print(f"{member.name}: {role}, {member.state}{lag}")
    if not status.members:
        console.print("Postgres: no node answers")
