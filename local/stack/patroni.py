"""Postgres under Patroni: nodes that elect a primary, each with an agent of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import psycopg

from local.processes.layout import as_json
from local.processes.process import ManagedProcess, ProcessSpec, kill_after
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST
from local.stack.etcd import credentials
from local.stack.patroni_config import NodeConfig
from local.stack.postgres import (
    READY_TIMEOUT_SECONDS,
    WRITES,
    Member,
    PostgresConfig,
    is_writable,
)
from local.stack.postmaster import find_postmaster

STOP_TIMEOUT_SECONDS = 15.0


class PatroniCluster:
    """Nodes that elect a primary; a commit waits for a synchronous standby."""

    def __init__(self, config: PostgresConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        self._nodes = [
            NodeConfig(
                name=name,
                home=config.layout.data(name),
                port=config.ports[name],
                patroni_port=config.ports[f"{name}-patroni"],
                etcd_port=config.ports["etcd"],
                bin_dir=config.parts.postgres_bin,
                passwords=config.passwords,
                lz4=config.has_lz4(),
                exposure=config.exposure,
                archiving=_archiving(config, name),
            )
            for name in config.names
        ]
        self.processes = {node.name: self._process(node) for node in self._nodes}

    def start(self) -> None:
        """Start every node; etcd must be ready. The first one makes the database."""
        for node in self._nodes:
            servant = self._config.servant
            servant.own(node.home)
            servant.write(node.home / "patroni.json", as_json(node.patroni()))
            credentials(self._config.layout).give(servant, node.home)
            self._give_certificate(node)
            if self._config.backups:
                self._config.backups.configure(node.home, node.data, node.port)
        for process in self.processes.values():
            process.start()

    def _give_certificate(self, node: NodeConfig) -> None:
        """Postgres reads a key only when nobody else can."""
        if node.exposure is None:
            return
        for given, kept in zip(
            node.exposure.postgres_files, node.certificate, strict=True
        ):
            self._config.servant.write(kept, given.read_bytes())

    def wait_ready(self) -> None:
        """Until there is a primary, every other node follows it, one synchronously."""

        def ready() -> bool:
            for process in self.processes.values():
                process.require_running()
            members = self.members()
            return _is_whole(members, len(self._nodes)) and self._agrees(members)

        wait_until(
            ready,
            what="the Postgres cluster",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            interval_seconds=0.2,
            patience=self._patience,
            logs=[process.spec.log for process in self.processes.values()],
        )
        self.wait_writable()

    def _agrees(self, members: list[Member]) -> bool:
        """Whether the primary waits for the very standby that Patroni would promote.

        Just after a start Patroni still tells of the last run's standby while the
        primary waits for any (`*`): a primary that dies then has no successor.
        """
        conninfo = self._config.superuser()
        asked = "SELECT current_setting('synchronous_standby_names')"
        try:
            with psycopg.connect(conninfo) as connection:
                row = connection.execute(asked).fetchone()
        except psycopg.OperationalError:
            return False
        promoted = [member.name for member in members if member.role == "sync_standby"]
        return row is not None and all(name in row[0] for name in promoted)

    def wait_writable(self) -> None:
        """Until some node accepts transactions, for example after a failover."""
        wait_until(
            lambda: is_writable(self._config.superuser()),
            what=WRITES,
            timeout_seconds=READY_TIMEOUT_SECONDS,
            patience=self._patience,
            logs=[process.spec.log for process in self.processes.values()],
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
        kill_after(
            lambda: not any(find_postmaster(node.data) for node in self._nodes),
            self.processes.values(),
            what="Postgres to stop",
            timeout_seconds=STOP_TIMEOUT_SECONDS,
        )

    def _process(self, node: NodeConfig) -> ManagedProcess:
        config = node.home / "patroni.json"
        command = [sys.executable, "-m", "patroni", str(config)]
        return ManagedProcess(
            ProcessSpec(
                name=node.name,
                command=self._config.servant.command(command),
                directory=node.home,
                log=self._config.layout.log(node.name),
                pid_file=self._config.layout.pid_file(node.name),
                environment={"HOME": str(node.home), "LC_ALL": "C.UTF-8"},
                relatives=lambda: find_postmaster(node.data),
            )
        )


def _archiving(config: PostgresConfig, name: str) -> Mapping[str, str | int]:
    if config.backups is None:
        return {}
    return config.backups.parameters(config.layout.data(name))


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
