"""The stack from the command line: `python -m local up`, `status`, `psql`, `down`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console

from local.processes.errors import StackError
from local.stack import DEFAULT_STATE_DIR, Stack, StackConfig
from local.stack.monitored import Monitoring
from local.stack.parts import find_or_fetch, lock_jars
from local.stack.passwords import LOGIN_ROLES, SUPERUSER
from local.stack.roles import DATABASE
from local.stack.screen import StartScreen, show_endpoints, show_status
from local.stack.status import read_status
from local.tools import STATE_DIR_VARIABLE
from local.tools import command as tool_command

app = typer.Typer()
StateDir = Annotated[
    Path,
    typer.Option(help="Where all state is kept.", envvar=STATE_DIR_VARIABLE),
]
JarsDir = Annotated[Path | None, typer.Option(help="Where what was fetched is kept.")]
Brokers = Annotated[int, typer.Option(help="Kafka nodes: 1 or 3.")]
Postgres = Annotated[int, typer.Option(help="Postgres nodes: 1 or 3.")]


@app.command()
def up(
    brokers: Brokers = 3,
    postgres: Postgres = 3,
    full_jit: Annotated[
        bool, typer.Option(help="Brokers that run for hours: slower at first.")
    ] = False,
    monitoring: Annotated[
        bool, typer.Option(help="Prometheus and Alertmanager beside it.")
    ] = False,
    alerts_to: Annotated[
        str | None, typer.Option(help="A webhook that gets every alert.")
    ] = None,
    jars_dir: JarsDir = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Start the stack and leave it running; nothing when it runs."""
    console = Console()
    if alerts_to and not monitoring:
        raise StackError("nobody sends alerts: ALERTS_TO goes with MONITORING=1")
    asked = Monitoring(alerts_to=alerts_to) if monitoring else None
    if Stack.running(state_dir):
        stack = Stack.attach(state_dir)
        if asked and asked != stack.config.monitoring:
            raise StackError(
                "the stack runs, and how it is monitored is said at its start: make "
                "down, then make up MONITORING=1 (ALERTS_TO=...)"
            )
        if started := stack.start_missing():
            console.print(f"started again: {', '.join(started)}")
        show_endpoints(console, stack)
        return
    config = StackConfig(
        state_dir=state_dir,
        jars_dir=jars_dir or state_dir / "jars",
        brokers=brokers,
        postgres=postgres,
        full_jit=full_jit,
        monitoring=asked,
    )
    screen = StartScreen(console)
    # A polite kill must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = Stack(config, screen.progress)
    with screen.shown():
        stack.start()
    stack.detach()
    show_endpoints(console, stack)


@app.command()
def fetch(
    jars_dir: JarsDir = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Bring Kafka, the registry and their Java here, without starting anything."""
    screen = StartScreen(Console())

    def notify(doing: str) -> None:
        screen.progress("parts", doing)

    with screen.shown():
        find_or_fetch((jars_dir or state_dir / "jars").resolve(), notify)
        screen.progress("parts", None)


@app.command()
def running(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Exit 0 when a stack runs, without a word."""
    raise typer.Exit(0 if Stack.running(state_dir) else 1)


@app.command()
def down(
    wipe: Annotated[bool, typer.Option(help="Also remove all data.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Stop the stack; its data stays unless told otherwise."""
    console = Console()
    stack = Stack(StackConfig(state_dir=state_dir))
    if Stack.running(state_dir):
        stack = Stack.attach(state_dir)
        with console.status("stopping"):
            stack.stop()
        console.print("stopped")
    else:
        stack.stop()
        console.print("nothing runs here")
    if wipe:
        stack.wipe()
        console.print("data removed")


@app.command()
def status(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Every process, and what the parts say of themselves; exit 1 when not healthy."""
    found = read_status(Stack.attach(state_dir))
    show_status(Console(), found)
    raise typer.Exit(0 if found.healthy else 1)


@app.command()
def endpoints(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Where the parts listen, as JSON."""
    print(Stack.attach(state_dir).endpoints.model_dump_json(indent=2))


@app.command()
def env(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """What a program of your own must know, for a shell: eval "$(make -s env)"."""
    found = Stack.attach(state_dir).endpoints
    print(f"export BOOTSTRAP_SERVERS={found.bootstrap_servers}")
    print(f"export REGISTRY_URL={found.registry_url}")


Role = Annotated[str, typer.Option(help="Whom to connect as.")]
Dbname = Annotated[str, typer.Option(help="Which database.")]


@app.command()
def conninfo(
    role: Role = SUPERUSER,
    dbname: Dbname = DATABASE,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """How to reach Postgres, for libpq and drivers; the password is in it."""
    print(_conninfo(state_dir, role, dbname))


def _conninfo(state_dir: Path, role: str, dbname: str) -> str:
    if role not in (SUPERUSER, *LOGIN_ROLES):
        raise StackError(f"no role {role!r}: {SUPERUSER}, {', '.join(LOGIN_ROLES)}")
    return Stack.attach(state_dir).conninfo(user=role, dbname=dbname)


@app.command()
def psql(
    arguments: Annotated[list[str] | None, typer.Argument()] = None,
    role: Role = SUPERUSER,
    dbname: Dbname = DATABASE,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Open psql on the current primary."""
    reached = _conninfo(state_dir, role, dbname)
    # In the environment, so that the password is not shown in the list of processes.
    environment = {**os.environ, **_libpq_environment(reached)}
    os.execvpe("psql", ["psql", *(arguments or [])], environment)


@app.command("lock-jars")
def lock(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Fetch the jars that pom.xml names and list them, for jars.sha256 (commit it)."""
    console = Console()
    files = lock_jars((state_dir / "jars").resolve(), console.print)
    console.print(f"listed {files} files in local/jars.sha256; see what changed in git")


@app.command(context_settings={"ignore_unknown_options": True})
def kafka(
    tool: Annotated[str, typer.Argument(help="For example kafka-topics.")],
    arguments: Annotated[list[str] | None, typer.Argument()] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Run one of Kafka's console tools against the stack."""
    java = tool_command(tool, arguments or [], state_dir)
    os.execv(java[0], java)


def _libpq_environment(conninfo: str) -> dict[str, str]:
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
        "target_session_attrs": "PGTARGETSESSIONATTRS",
        "connect_timeout": "PGCONNECT_TIMEOUT",
    }
    return {names[key]: str(value) for key, value in conninfo_to_dict(conninfo).items()}
