"""Prometheus, Alertmanager and the exporter of Postgres, as one part of a stack."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from local.processes.layout import Layout
from local.processes.ports import is_free
from local.processes.privileges import Servant
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST, postgres_names
from local.stack.monitored import (
    ALERTMANAGER,
    PROMETHEUS,
    SERVERS,
    Monitoring,
    exporter,
)
from local.stack.monitoring import configuration
from local.stack.parts import require_programs
from local.stack.passwords import MONITOR
from local.stack.roles import DATABASE

READY_TIMEOUT_SECONDS = 30.0
RETENTION = "15d"
PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-postgres-exporter")
# A program that starts does not listen yet.
STARTING_SECONDS_MAX = 60.0
READY = {PROMETHEUS: "/-/ready", ALERTMANAGER: "/-/ready"}  # an exporter: "/"


@dataclass(frozen=True)
class MonitoringConfig:
    """What the three are started with."""

    layout: Layout
    servant: Servant
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    brokers: int
    postgres: int
    asked: Monitoring


class MonitoringServers:
    """They keep their files in folders of their own, and have no rights on the host."""

    def __init__(self, config: MonitoringConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        # One for each: a dead server holds up the metrics of the others in one process.
        self._exporters = {exporter(n): n for n in postgres_names(config.postgres)}
        self.processes = {
            name: self._process(name) for name in (*SERVERS, *self._exporters)
        }

    @property
    def prometheus_url(self) -> str:
        return self._url(PROMETHEUS)

    @property
    def alertmanager_url(self) -> str:
        return self._url(ALERTMANAGER)

    def start(self) -> None:
        """Write what they read, and start them. Raises MissingPart."""
        require_programs("monitoring", *PROGRAMS)
        for name in self.processes:
            self._config.servant.own(self._home(name))
        self._config.servant.own(self._targets)
        config = self._config
        files = configuration.prometheus(
            config.asked,
            config.ports,
            brokers=config.brokers,
            postgres=config.postgres,
        )
        for file, content in files.items():
            self._write(PROMETHEUS, file, content)
        called = configuration.alertmanager(config.asked)
        self._write(ALERTMANAGER, "alertmanager.yaml", called)
        for name in self._exporters:
            self._write(name, "queries.yaml", configuration.queries())
        for process in self.processes.values():
            process.start()

    def wait_ready(self) -> None:
        """Until all of them answer."""

        def ready() -> bool:
            for process in self.processes.values():
                process.require_running()
            return all(self._answers(name) for name in self.processes)

        wait_until(
            ready,
            what="Prometheus and Alertmanager",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            patience=self._patience,
            logs=[process.spec.log for process in self.processes.values()],
        )

    def stop(self) -> None:
        """Ask all to stop, and wait until they have."""
        for process in self.processes.values():
            process.ask_to_stop()
        for process in self.processes.values():
            process.terminate()

    def scrape(self, name: str, ports: Mapping[str, int]) -> None:
        """Scrape a program: the port of each of its pods, as a cluster would name them.

        What another run of its kind has left, and nobody listens at any more, goes.
        """
        kind = name.partition("-")[0]
        for file in self._targets.glob(f"{kind}-*.json"):
            young = time.time() - file.stat().st_mtime < STARTING_SECONDS_MAX
            if not young and all(_is_gone(at) for at in _addresses(file)):
                file.unlink(missing_ok=True)
        targets = [configuration.target(pod, port) for pod, port in ports.items()]
        content = json.dumps(targets, indent=2).encode()
        self._config.servant.write(self._targets / f"{name}.json", content)

    @property
    def _targets(self) -> Path:
        return self._home(PROMETHEUS) / configuration.TARGETS

    def _home(self, name: str) -> Path:
        return self._config.layout.data(name)

    def _url(self, name: str) -> str:
        return f"http://{HOST}:{self._config.ports[name]}"

    def _answers(self, name: str) -> bool:
        try:
            asked = self._url(name) + READY.get(name, "/")
            return httpx.get(asked, timeout=2.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _write(self, name: str, file: str, content: object) -> None:
        text = yaml.safe_dump(content, sort_keys=False)
        self._config.servant.write(self._home(name) / file, text.encode())

    def _process(self, name: str) -> ManagedProcess:
        layout = self._config.layout
        return ManagedProcess(
            ProcessSpec(
                name=name,
                command=self._config.servant.command(self._command(name)),
                directory=self._home(name),
                log=layout.log(name),
                pid_file=layout.pid_file(name),
                environment=self._environment(name),
            )
        )

    def _command(self, name: str) -> list[str]:
        prometheus, alertmanager, postgres_exporter = PROGRAMS
        address = configuration.at(self._config.ports[name])
        listening = f"--web.listen-address={address}"
        if name == PROMETHEUS:
            return [
                *(prometheus, "--config.file=prometheus.yaml", listening),
                "--storage.tsdb.path=data",
                f"--storage.tsdb.retention.time={RETENTION}",
            ]
        if name == ALERTMANAGER:
            return [
                *(alertmanager, "--config.file=alertmanager.yaml"),
                *("--storage.path=data", listening),
                "--cluster.listen-address=",  # it has no peers
            ]
        return [
            *(postgres_exporter, "--extend.query-path=queries.yaml", listening),
            *("--disable-default-metrics", "--disable-settings-metrics"),
            *("--no-collector.database", "--no-collector.bgwriter"),
        ]

    def _environment(self, name: str) -> dict[str, str]:
        """An exporter's server: the password is in it, and so it is no argument."""
        if name not in self._exporters:
            return {}
        password = self._config.passwords[MONITOR]
        address = configuration.at(self._config.ports[self._exporters[name]])
        options = "sslmode=disable&connect_timeout=2"
        source = f"postgresql://{MONITOR}:{password}@{address}/{DATABASE}?{options}"
        return {"DATA_SOURCE_NAME": source}


def _addresses(file: Path) -> list[str]:
    return [at for each in json.loads(file.read_bytes()) for at in each["targets"]]


def _is_gone(address: str) -> bool:
    return is_free(int(address.rpartition(":")[2]))
