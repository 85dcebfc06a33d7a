"""The Postgres of one stack: what a cluster (patroni.py) and a plain server offer.

And the plain server itself.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import make_conninfo

from local.processes import commands
from local.processes.layout import Layout
from local.processes.privileges import Servant
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import Patience, wait_until
from local.stack.backups import Backups
from local.stack.endpoints import HOST, postgres_names
from local.stack.exposure import Exposure
from local.stack.part import Part
from local.stack.parts import Parts
from local.stack.passwords import SUPERUSER
from local.stack.patroni_config import (
    AUTHENTICATION,
    INITDB_OPTIONS,
    SOCKET,
    server_parameters,
)
from local.stack.postmaster import find_postmaster

READY_TIMEOUT_SECONDS = 90.0
CONNECT_TIMEOUT_SECONDS = 2
WRITES = "Postgres to take writes"


@dataclass(frozen=True)
class PostgresConfig:
    """What both kinds need to know."""

    layout: Layout
    parts: Parts
    servant: Servant
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    nodes: int
    exposure: Exposure | None = None
    backups: Backups | None = None

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
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )

    def superuser(self) -> str:
        """The same for whoever may do all, to the database that is always there."""
        return self.conninfo(user=SUPERUSER, dbname="postgres")

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


class Postgres(Part, Protocol):
    """What is asked of either kind, beside what every part can do."""

    def wait_writable(self) -> None:
        """Until some node accepts transactions. Raises StackError."""

    def members(self) -> list[Member]:
        """Every node that is known; none when none answers."""

    def leader(self) -> str | None:
        """Which node leads; None while none does."""


class PlainServer:
    """One server without replication, for tests that need no failover."""

    def __init__(self, config: PostgresConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        (self._name,) = config.names
        self._home = config.layout.data(self._name)
        self._data = self._home / "data"
        self.processes = {self._name: self._process()}

    def start(self) -> None:
        self._config.servant.own(self._home)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        rules = "".join(f"{line}\n" for line in [*AUTHENTICATION, *SOCKET])
        self._config.servant.write(self._data / "pg_hba.conf", rules.encode())
        if self._config.backups:
            port = self._config.ports[self._name]
            self._config.backups.configure(self._home, self._data, port)
        self.processes[self._name].start()

    def wait_ready(self) -> None:
        self.wait_writable()

    def wait_writable(self) -> None:
        def writable() -> bool:
            self.processes[self._name].require_running()
            return is_writable(self._config.superuser())

        wait_until(
            writable,
            what=WRITES,
            timeout_seconds=READY_TIMEOUT_SECONDS,
            patience=self._patience,
            logs=[process.spec.log for process in self.processes.values()],
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
        given = self._config.passwords[SUPERUSER]
        self._config.servant.write(password, given.encode())
        command = [str(self._config.parts.postgres_bin / "initdb")]
        command += ["--pgdata", str(self._data), "--username", SUPERUSER]
        command += ["--pwfile", str(password), "--data-checksums"]
        command += [f"--{key}={value}" for key, value in INITDB_OPTIONS.items()]
        try:
            command = self._config.servant.command(command)
            commands.run(command, "initdb", directory=self._home)
        finally:
            password.unlink()

    def _process(self) -> ManagedProcess:
        parameters: dict[str, Any] = {}
        if self._config.backups:
            parameters = dict(self._config.backups.parameters(self._home))
        port = self._config.ports[self._name]
        return server(self._config, self._name, port, parameters)


def server(
    config: PostgresConfig, name: str, port: int, parameters: Mapping[str, object]
) -> ManagedProcess:
    """A server without an agent, in its folder `data`, with settings of its own."""
    layout = config.layout
    home, data = layout.data(name), layout.data(name) / "data"
    common = server_parameters(lz4=config.has_lz4())
    told = {**common, "listen_addresses": HOST, "port": port, **parameters}
    command = [str(config.parts.postgres_bin / "postgres"), "-D", str(data)]
    for key, value in told.items():
        command += ["-c", f"{key}={value}"]
    return ManagedProcess(
        ProcessSpec(
            name=name,
            command=config.servant.command(command),
            directory=home,
            log=layout.log(name),
            pid_file=layout.pid_file(name),
            environment={"HOME": str(home), "LC_ALL": "C.UTF-8"},
            stop_signal=signal.SIGINT,  # "fast": SIGTERM waits for sessions to end
            relatives=lambda: find_postmaster(data),
        )
    )


def is_writable(conninfo: str) -> bool:
    """Whether the primary there lets its superuser write.

    Rolled back: a commit would wait for a standby, for as long as that takes.
    """
    try:
        with psycopg.connect(conninfo) as connection:
            connection.execute("SELECT pg_current_xact_id()")
            connection.rollback()
    except psycopg.OperationalError:
        return False
    return True
