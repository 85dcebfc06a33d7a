"""The Postgres of one stack: a cluster under Patroni, or one plain server.

Both offer the same: `start`, `wait_ready`, `leader`, `members`, `stop`, `processes`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from local.processes import commands
from local.processes.errors import StackError
from local.processes.layout import Layout, as_json
from local.processes.privileges import Servant
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST, postgres_names
from local.stack.etcd import credentials
from local.stack.exposure import Exposure
from local.stack.parts import Parts
from local.stack.passwords import SUPERUSER
from local.stack.patroni_config import (
    AUTHENTICATION,
    INITDB_OPTIONS,
    NodeConfig,
    server_parameters,
)
from local.stack.postmaster import find_postmaster

READY_TIMEOUT_S = 90.0
CONNECT_TIMEOUT_S = 2
WRITES = "Postgres to take writes"


@dataclass(frozen=True)
class PostgresSettings:
    """What both kinds need to know."""

    layout: Layout
    parts: Parts
    servant: Servant
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    nodes: int
    exposure: Exposure | None = None

    @property
    def names(self) -> list[str]:
        return postgres_names(self.nodes)

    def conninfo(self, *, user: str, dbname: str) -> str:
        """For libpq: every node is named, and only the primary is accepted."""
        return make_conninfo(
            host=",".join(HOST for _ in self.names),
            port=",".join(str(self.ports[name]) for name in self.names),
            user=user,
            password=self.passwords[user],
            dbname=dbname,
            target_session_attrs="read-write",
            connect_timeout=CONNECT_TIMEOUT_S,
        )

    def has_lz4(self) -> bool:
        """Whether this build of Postgres can compress its log with LZ4."""
        config = self.parts.postgres_bin / "pg_config"
        if not config.exists():
            return True  # Debian's builds can; pg_config is in another package
        shown = commands.attempt([str(config), "--configure"])
        return "--with-lz4" in shown.stdout


@dataclass(frozen=True)
class Member:
    """One node as Patroni sees it."""

    name: str
    role: str
    state: str
    lag_bytes: int | None


class Postgres(Protocol):
    """What the stack and its users ask of either kind."""

    processes: dict[str, ManagedProcess]

    def start(self) -> None: ...

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None: ...

    def wait_writable(self, timeout_s: float = READY_TIMEOUT_S) -> None: ...

    def members(self) -> list[Member]: ...

    def leader(self) -> str | None: ...

    def stop(self) -> None: ...


class PatroniCluster:
    """Nodes that elect a primary; a commit waits for a synchronous standby."""

    def __init__(
        self, settings: PostgresSettings, etcd_port: int, patience: Patience
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._nodes = [
            NodeConfig(
                name=name,
                home=settings.layout.data(name),
                port=settings.ports[name],
                patroni_port=settings.ports[f"{name}-patroni"],
                etcd_port=etcd_port,
                bin_dir=settings.parts.postgres_bin,
                passwords=settings.passwords,
                lz4=settings.has_lz4(),
                exposure=settings.exposure,
            )
            for name in settings.names
        ]
        self.processes = {node.name: self._process(node) for node in self._nodes}

    def start(self) -> None:
        """Start every node; etcd must be ready. The first one makes the database."""
        for node in self._nodes:
            servant = self._settings.servant
            servant.own(node.home)
            servant.write(node.home / "patroni.json", as_json(node.patroni()))
            credentials(self._settings.layout).give(servant, node.home)
            self._give_certificate(node)
        for process in self.processes.values():
            process.start()

    def _give_certificate(self, node: NodeConfig) -> None:
        """Postgres reads a key only when nobody else can."""
        if node.exposure is None:
            return
        for given, kept in zip(
            node.exposure.postgres_files, node.certificate, strict=True
        ):
            self._settings.servant.write(kept, given.read_bytes())

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until there is a primary, every other node follows it, one synchronously."""

        def ready() -> bool:
            for process in self.processes.values():
                process.require_running()
            members = self.members()
            return _is_whole(members, len(self._nodes)) and self._agrees(members)

        wait_until(
            ready,
            what="the Postgres cluster",
            timeout_seconds=timeout_s,
            interval_seconds=0.2,
            patience=self._patience,
        )
        self.wait_writable(timeout_s)

    def _agrees(self, members: list[Member]) -> bool:
        """Whether the primary waits for the very standby that Patroni would promote.

        Just after a start Patroni still tells of the last run's standby while the
        primary waits for any (`*`): a primary that dies then has no successor.
        """
        conninfo = self._settings.conninfo(user=SUPERUSER, dbname="postgres")
        asked = "SELECT current_setting('synchronous_standby_names')"
        try:
            with psycopg.connect(conninfo) as connection:
                row = connection.execute(asked).fetchone()
        except psycopg.OperationalError:
            return False
        promoted = [member.name for member in members if member.role == "sync_standby"]
        return row is not None and all(name in row[0] for name in promoted)

    def wait_writable(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until some node accepts transactions, for example after a failover."""
        wait_until(
            lambda: _is_writable(self._settings),
            what=WRITES,
            timeout_seconds=timeout_s,
            patience=self._patience,
        )

    def members(self) -> list[Member]:
        """Every node that Patroni knows; empty when no node answers."""
        for node in self._nodes:
            try:
                asked = f"http://{HOST}:{node.patroni_port}/cluster"
                answer = httpx.get(asked, timeout=2.0, trust_env=False)
                return [_member(each) for each in answer.json()["members"]]
            except (httpx.HTTPError, ValueError, KeyError):
                continue
        return []

    def leader(self) -> str | None:
        """Who holds the lease and runs; None while nobody does.

        It may still be on the way to being the primary: see `wait_writable`.
        """
        for member in self.members():
            if member.role == "leader" and self.processes[member.name].is_running():
                return member.name
        return None

    def stop(self) -> None:
        """Stop all nodes without electing a new primary on the way.

        Patroni first and hard, so that it does not hand over the lease; then each
        server cleanly. The next start finds the same primary.
        """
        for process in self.processes.values():
            process.resume()
            process.kill_main()
        servers = [
            server for node in self._nodes for server in find_postmaster(node.data)
        ]
        for server in servers:
            server.send_signal(signal.SIGINT)  # "fast": sessions are ended
        try:
            # Without our patience: a cancelled start, too, waits for its end.
            wait_until(
                lambda: not any(find_postmaster(node.data) for node in self._nodes),
                what="Postgres to stop",
                timeout_seconds=15.0,
            )
        except StackError:
            pass  # what follows is harder
        for process in self.processes.values():
            process.kill()

    def _process(self, node: NodeConfig) -> ManagedProcess:
        config = node.home / "patroni.json"
        command = [sys.executable, "-m", "patroni", str(config)]
        return ManagedProcess(
            ProcessSpec(
                name=node.name,
                command=self._settings.servant.command(command),
                directory=node.home,
                log=self._settings.layout.log(node.name),
                pid_file=self._settings.layout.pids / f"{node.name}.json",
                environment={"HOME": str(node.home), "LC_ALL": "C.UTF-8"},
                relatives=lambda: find_postmaster(node.data),
            )
        )


class PlainServer:
    """One server without replication, for tests that need no failover."""

    def __init__(self, settings: PostgresSettings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        (self._name,) = settings.names
        self._home = settings.layout.data(self._name)
        self._data = self._home / "data"
        self.processes = {self._name: self._process()}

    def start(self) -> None:
        self._settings.servant.own(self._home)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        rules = "".join(f"{line}\n" for line in AUTHENTICATION)
        self._settings.servant.write(self._data / "pg_hba.conf", rules.encode())
        self.processes[self._name].start()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        self.wait_writable(timeout_s)

    def wait_writable(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        def writable() -> bool:
            self.processes[self._name].require_running()
            return _is_writable(self._settings)

        wait_until(
            writable, what=WRITES, timeout_seconds=timeout_s, patience=self._patience
        )

    def members(self) -> list[Member]:
        running = self.processes[self._name].is_running()
        return [Member(self._name, "leader", "running" if running else "stopped", 0)]

    def leader(self) -> str | None:
        return self._name if self.processes[self._name].is_running() else None

    def stop(self) -> None:
        self.processes[self._name].terminate()

    def _initialise(self) -> None:
        password = self._home / "password"
        given = self._settings.passwords[SUPERUSER]
        self._settings.servant.write(password, given.encode())
        command = [str(self._settings.parts.postgres_bin / "initdb")]
        command += ["--pgdata", str(self._data), "--username", SUPERUSER]
        command += ["--pwfile", str(password), "--data-checksums"]
        command += [f"--{key}={value}" for key, value in INITDB_OPTIONS.items()]
        try:
            command = self._settings.servant.command(command)
            commands.run(command, "initdb", directory=self._home)
        finally:
            password.unlink()

    def _process(self) -> ManagedProcess:
        parameters: dict[str, Any] = server_parameters(lz4=self._settings.has_lz4())
        parameters["listen_addresses"] = HOST
        parameters["port"] = self._settings.ports[self._name]
        command = [str(self._settings.parts.postgres_bin / "postgres")]
        command += ["-D", str(self._data)]
        for key, value in parameters.items():
            command += ["-c", f"{key}={value}"]
        return ManagedProcess(
            ProcessSpec(
                name=self._name,
                command=self._settings.servant.command(command),
                directory=self._home,
                log=self._settings.layout.log(self._name),
                pid_file=self._settings.layout.pids / f"{self._name}.json",
                environment={"HOME": str(self._home), "LC_ALL": "C.UTF-8"},
                stop_signal=signal.SIGINT,  # "fast": SIGTERM waits for sessions to end
                relatives=lambda: find_postmaster(self._data),
            )
        )


def _is_writable(settings: PostgresSettings) -> bool:
    """Whether the primary lets the superuser write.

    Rolled back: a commit would wait for a standby, for as long as that takes.
    """
    try:
        conninfo = settings.conninfo(user=SUPERUSER, dbname="postgres")
        with psycopg.connect(conninfo) as connection:
            connection.execute("SELECT pg_current_xact_id()")
            connection.rollback()
    except psycopg.OperationalError:
        return False
    return True


def _is_whole(members: list[Member], nodes: int) -> bool:
    """Whether all replicate. The role of a standby alone may be of the last run."""
    states = {(member.role, member.state) for member in members}
    expected = {("leader", "running"), ("sync_standby", "streaming")}
    return (
        len(members) == nodes
        and expected <= states
        and states <= expected | {("replica", "streaming")}
    )


def _member(answer: Mapping[str, Any]) -> Member:
    lag = answer.get("lag")
    return Member(
        name=answer["name"],
        role=answer["role"],
        state=answer["state"],
        lag_bytes=lag if isinstance(lag, int) else None,
    )
