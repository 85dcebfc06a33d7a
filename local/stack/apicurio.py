"""Apicurio Registry, with its storage in a file of its own.

Its SQL storage on an embedded H2 file was chosen over its Kafka and Postgres storages:
it is up in three seconds beside the others instead of after them, and a dead broker or
a Postgres failover cannot take the registry with it. `WRITE_DELAY=0` writes every
commit to the file before it is answered, so that ids survive a kill -9.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from local.processes.files import narrow
from local.processes.java import ClassData, Jvm
from local.processes.layout import Layout
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST, registry_host, registry_url
from local.stack.exposure import Exposure
from local.stack.parts import Parts

NAME = "registry"
READY_TIMEOUT_SECONDS = 60.0
HEAP_START_MB = 64
HEAP_MAX_MB = 160


@dataclass(frozen=True)
class ApicurioConfig:
    """What the registry is started with."""

    layout: Layout
    parts: Parts
    port: int
    management_port: int
    record_classes: bool = False
    exposure: Exposure | None = None

    def properties(self) -> dict[str, str]:
        """Its settings, as Java takes them."""
        home, temporary = self.layout.data(NAME), str(self.layout.temporary)
        return {
            "quarkus.http.host": registry_host(self.exposure),
            "quarkus.http.port": str(self.port),
            "quarkus.management.host": HOST,
            "quarkus.management.port": str(self.management_port),
            "quarkus.http.access-log.enabled": "false",
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "h2",
            "apicurio.datasource.url": f"jdbc:h2:file:{home}/schemas;WRITE_DELAY=0",
            "apicurio.datasource.jdbc.initial-size": "2",
            "apicurio.datasource.jdbc.min-size": "2",
            "apicurio.datasource.jdbc.max-size": "10",
            # Its file is there or it is not: waiting would only hide the reason.
            "apicurio.storage.connection.retry.enabled": "false",
            "apicurio.storage.snapshot.location": temporary,
            "apicurio.import.work-dir": temporary,
            "apicurio.logconfigjob.every": "1h",
        }


class Apicurio:
    """The schema registry of one stack."""

    def __init__(self, config: ApicurioConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        self.url = registry_url(config.port, config.exposure)
        self._process = self._make_process()
        self.processes = {NAME: self._process}

    def start(self) -> None:
        """Start it; its storage makes itself."""
        self._process.start()

    def is_ready(self) -> bool:
        """Whether it answers from its storage."""
        try:
            asked = f"{self.url}/subjects"
            return httpx.get(asked, timeout=2.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def wait_ready(self) -> None:
        """Until it answers from its storage."""

        def ready() -> bool:
            self._process.require_running()
            return self.is_ready()

        wait_until(
            ready,
            what="the schema registry",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            patience=self._patience,
            logs=[self._process.spec.log],
        )
        # Quarkus opens it to everybody.
        narrow(self._config.layout.temporary, ["vertx-cache"])

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._process.terminate()

    def _make_process(self) -> ManagedProcess:
        config, layout = self._config, self._config.layout
        jvm = Jvm(
            java=config.parts.java,
            temporary=layout.temporary,
            heap_start_mb=HEAP_START_MB,
            heap_max_mb=HEAP_MAX_MB,
            class_data=ClassData(config.parts.registry_classes, config.record_classes),
            quick=True,
        )
        program = ("-jar", str(config.parts.registry_home / "quarkus-run.jar"))
        return ManagedProcess(
            ProcessSpec(
                name=NAME,
                command=jvm.command(config.properties(), *program),
                directory=layout.data(NAME),
                log=layout.log(NAME),
                pid_file=layout.pid_file(NAME),
            )
        )
