"""The whole stack: what a test, the demo or the command line starts and stops.

with Stack(StackConfig(state_dir=Path("build/stack"))) as stack:
    connect(stack.endpoints.bootstrap_servers)
    stack.processes["kafka-1"].kill()

stack = Stack.attach(Path(".local"))        # one that `make up` left running
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from local.processes.errors import StackError
from local.processes.files import private
from local.processes.layout import Layout, read_json
from local.processes.ports import choose_ports
from local.processes.process import ManagedProcess
from local.processes.sweep import kill_all, running_pids
from local.processes.waiting import Patience
from local.processes.watchdog import Watchdog
from local.stack.apicurio import Apicurio
from local.stack.backups import Backups
from local.stack.beside import Beside, make_beside
from local.stack.components import Components, compose
from local.stack.config import DEFAULT_STATE_DIR, StackConfig
from local.stack.endpoints import (
    Endpoints,
    load_endpoints,
    port_names,
    remembered_ports,
)
from local.stack.kafka import Kafka
from local.stack.monitoring.servers import MonitoringServers
from local.stack.parts import Parts, find, require_jars
from local.stack.postgres import Postgres
from local.stack.roles import DATABASE
from local.stack.starting import Progress, Start, stop_all
from once import open_files
from once.errors import Defect

OPEN_FILES = 1024  # a broker has 340 with a dozen topics


def _allow_open_files() -> None:
    """For all that is started; Java and etcd do so themselves. Raises StackError."""
    try:
        open_files.allow(OPEN_FILES)
    except Defect as error:
        raise StackError(f"the stack cannot be started: {error}") from None


def _silent(component: str, doing: str | None) -> None:
    """Progress for those who do not watch."""


class Stack:
    """Kafka, the schema registry and Postgres, started together."""

    def __init__(self, config: StackConfig, progress: Progress = _silent) -> None:
        self.config = config
        self._progress = progress
        self._layout = Layout(config.state_dir.resolve())
        self._patience = Patience()
        self._watchdog = Watchdog(self._layout)
        self._components: Components | None = None

    @classmethod
    def attach(cls, state_dir: Path = DEFAULT_STATE_DIR) -> Self:
        """The stack that somebody else started there, with the same methods.

        Raises StackError when none was.
        """
        endpoints = load_endpoints(Layout(state_dir.resolve()))
        config = StackConfig(
            state_dir=state_dir,
            jars_dir=endpoints.jars_dir,
            brokers=endpoints.brokers,
            postgres=endpoints.postgres,
            exposure=endpoints.exposure,
            monitoring=endpoints.monitoring,
            backups=endpoints.backups,
        )
        stack = cls(config)
        parts = find(endpoints.jars_dir)
        stack._components = stack._composed(parts, endpoints.ports)
        return stack

    @staticmethod
    def running(state_dir: Path = DEFAULT_STATE_DIR) -> bool:
        """Whether any process of a stack runs there."""
        return bool(running_pids(Layout(state_dir.resolve())))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        return self._started.endpoints

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """By name: kafka-1..3, registry, etcd, postgres-1..3, and what monitors."""
        return self._started.processes

    @property
    def kafka(self) -> Kafka:
        return self._started.kafka

    @property
    def registry(self) -> Apicurio:
        return self._started.registry

    @property
    def postgres(self) -> Postgres:
        return self._started.postgres

    @property
    def monitoring(self) -> MonitoringServers | None:
        """Prometheus and Alertmanager, where they were asked for."""
        return self._started.monitoring

    @property
    def backups(self) -> Backups:
        """The repository of a stack that was started with one."""
        found = self._started.postgres_config.backups
        if found is None:
            raise StackError(
                "the stack has no backups: they are asked for at its start"
            )
        return found

    def home(self, name: str) -> Path:
        """The folder of a process."""
        return self._layout.data(name)

    def beside(self) -> Beside:
        """A Postgres for what a backup is restored to; nothing is started."""
        return make_beside(self._started.postgres_config)

    def conninfo(self, *, user: str, dbname: str = DATABASE) -> str:
        """libpq's connection string to the primary, password included."""
        return self._started.postgres_config.conninfo(user=user, dbname=dbname)

    def password(self, role: str) -> str:
        """Of a Postgres role that this stack made."""
        return self._started.postgres_config.passwords[role]

    def start(self) -> None:
        """Start everything and return when all of it is ready.

        Raises StackError in one sentence, and leaves nothing running, when it fails.
        Everything ends with this Python process, unless `detach` is called.
        """
        _allow_open_files()
        with self._lock():
            if running_pids(self._layout):
                raise StackError(
                    f"a stack runs under {self._layout.root}: attach to it or stop it"
                )
            self._layout.create()
            kill_all(self._layout)  # what a killed run may have left without a pid file
            self._require_same_size()
            parts = find(
                self.config.jars_dir.resolve(),
                lambda doing: self._progress("parts", doing),
            )
            ports = choose_ports(
                port_names(
                    self.config.brokers,
                    self.config.postgres,
                    exposed=self.config.exposure is not None,
                    monitored=self.config.monitoring is not None,
                ),
                remembered=remembered_ports(self._layout),
                configured=self.config.ports,
            )
            self._components = self._composed(parts, ports)
            self._components.endpoints.save(self._layout)
            self._watchdog.start()
            try:
                Start(self._components, self._patience, self._progress).run()
            except BaseException:
                kill_all(self._layout)
                self._watchdog.let_go()
                raise

    def start_missing(self) -> list[str]:
        """Start what has stopped of an attached stack; its names, once all is ready."""
        with self._lock():
            missing = [
                name
                for name, process in self.processes.items()
                if not process.is_running()
            ]
            if missing:
                require_jars(self._started.endpoints.jars_dir)
            for name in missing:
                self.processes[name].start()
        self.wait_ready()
        return missing

    def wait_ready(self) -> None:
        """Until every part is whole again, for example after a fault was healed."""
        for part in self._started.by_name.values():
            part.wait_ready()

    def detach(self) -> None:
        """Let the stack outlive this process."""
        self._watchdog.let_go()

    def stop(self) -> None:
        """Stop everything cleanly; the data stays."""
        with self._lock():
            if self._components is not None:
                stop_all(self._components)
            kill_all(self._layout)
            self._watchdog.let_go()

    def wipe(self) -> None:
        """Remove all data of the stopped stack; what was fetched stays."""
        if self.running(self._layout.root):
            raise StackError("the stack runs: stop it before its data is removed")
        for path in self._layout.owned:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @property
    def _started(self) -> Components:
        if self._components is None:
            raise StackError("the stack was not started")
        return self._components

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One start or stop at a time in a state directory."""
        self._layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._layout.lock_file, "w", opener=private) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackError(
                    f"somebody else is starting or stopping {self._layout.root}"
                ) from error
            yield

    def _require_same_size(self) -> None:
        """The number of nodes is written into the data: it cannot change under it."""
        if not any(self._layout.all_data.iterdir()):
            return
        kept = read_json(self._layout.endpoints_file)
        made = (kept.get("brokers"), kept.get("postgres"))
        if kept and made != (self.config.brokers, self.config.postgres):
            raise StackError(
                f"the data under {self._layout.root} belongs to {made[0]} brokers and "
                f"{made[1]} Postgres nodes: start these, or wipe it (make down WIPE=1)"
            )

    def _composed(self, parts: Parts, ports: Mapping[str, int]) -> Components:
        return compose(self.config, self._layout, parts, ports, self._patience)
