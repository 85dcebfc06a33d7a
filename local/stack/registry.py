"""Apicurio Registry, with its storage in a file of its own.

Its SQL storage on an embedded H2 file was chosen over its Kafka and Postgres storages:
it is up in three seconds beside the others instead of after them, and a dead broker or
a Postgres failover cannot take the registry with it. `WRITE_DELAY=0` writes every
commit to the file before it is answered, so that ids survive a kill -9.
"""

from __future__ import annotations

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
READY_TIMEOUT_S = 60.0
HEAP_START_MB = 64
HEAP_MAX_MB = 160


class Registry:
    """The schema registry of one stack."""

    def __init__(
        self,
        layout: Layout,
        parts: Parts,
        port: int,
        management_port: int,
        patience: Patience,
        *,
        record_classes: bool = False,
        exposure: Exposure | None = None,
    ) -> None:
        self._patience = patience
        self._temporary = layout.temporary
        self.url = registry_url(port, exposure)
        home = layout.data(NAME)
        database = f"jdbc:h2:file:{home}/schemas;WRITE_DELAY=0"
        jvm = Jvm(
            parts.java,
            layout.temporary,
            HEAP_START_MB,
            HEAP_MAX_MB,
            ClassData(parts.registry_classes, record_classes),
            quick=True,
        )
        command = jvm.command(
            {
                "quarkus.http.host": registry_host(exposure),
                "quarkus.http.port": str(port),
                "quarkus.management.host": HOST,
                "quarkus.management.port": str(management_port),
                "quarkus.http.access-log.enabled": "false",
                "apicurio.storage.kind": "sql",
                "apicurio.storage.sql.kind": "h2",
                "apicurio.datasource.url": database,
                "apicurio.datasource.jdbc.initial-size": "2",
                "apicurio.datasource.jdbc.min-size": "2",
                "apicurio.datasource.jdbc.max-size": "10",
                # Its file is there or it is not: waiting would only hide the reason.
                "apicurio.storage.connection.retry.enabled": "false",
                "apicurio.storage.snapshot.location": str(layout.temporary),
                "apicurio.import.work-dir": str(layout.temporary),
                "apicurio.logconfigjob.every": "1h",
            },
            "-jar",
            str(parts.registry_home / "quarkus-run.jar"),
        )
        self.process = ManagedProcess(
            ProcessSpec(
                name=NAME,
                command=command,
                directory=home,
                log=layout.log(NAME),
                pid_file=layout.pids / f"{NAME}.json",
            )
        )
        self.processes = {NAME: self.process}

    def start(self) -> None:
        self.process.start()

    def is_ready(self) -> bool:
        """Whether it answers from its storage."""
        try:
            asked = f"{self.url}/subjects"
            return httpx.get(asked, timeout=2.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        def ready() -> bool:
            self.process.require_running()
            return self.is_ready()

        wait_until(
            ready,
            what="the schema registry",
            timeout_seconds=timeout_s,
            patience=self._patience,
        )
        narrow(self._temporary, ["vertx-cache"])  # which Quarkus opens to everybody
