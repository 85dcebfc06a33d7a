"""The parts of a stack, and how they are started and stopped: all at once.

Postgres needs neither Java nor jars. At the first start it makes its cluster while they
are fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from local.processes.process import ManagedProcess
from local.processes.waiting import Patience
from local.stack.class_data import ensure_class_data
from local.stack.endpoints import Endpoints
from local.stack.etcd import Etcd
from local.stack.kafka import Kafka
from local.stack.parts import Parts, fetch
from local.stack.passwords import SUPERUSER
from local.stack.postgres import Postgres, PostgresSettings
from local.stack.registry import Registry
from local.stack.roles import ensure_roles

# Told that a component began something or, without a text, that it is ready.
Progress = Callable[[str, str | None], None]


@dataclass(frozen=True)
class Components:
    """What a stack consists of."""

    parts: Parts
    endpoints: Endpoints
    settings: PostgresSettings
    kafka: Kafka
    registry: Registry
    etcd: Etcd | None
    postgres: Postgres

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """By name."""
        etcd = self.etcd.processes if self.etcd else {}
        return {
            **self.kafka.processes,
            **self.registry.processes,
            **etcd,
            **self.postgres.processes,
        }


class Start:
    """One start of everything; the first failure ends the waiting of the others."""

    def __init__(
        self, components: Components, patience: Patience, progress: Progress
    ) -> None:
        self._components = components
        self._patience = patience
        self._progress = progress

    def run(self) -> None:
        """Returns when all is ready. Raises StackError."""
        with ThreadPoolExecutor(thread_name_prefix="start") as pool:
            java = pool.submit(self._java)
            futures = [
                java,
                pool.submit(self._postgres),
                pool.submit(self._kafka, java),
                pool.submit(self._registry, java),
            ]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                # Who waits for Java fails as it does: its own words come first.
                for future in sorted(done, key=futures.index):
                    future.result()
            except BaseException:
                self._patience.cancel()
                raise

    def _java(self) -> None:
        def notify(doing: str) -> None:
            self._progress("parts", doing)

        notify("looking for what is missing")
        jars = self._components.endpoints.jars_dir
        fetch(jars, self._patience, notify)
        ensure_class_data(self._components.parts, self._patience, notify)
        self._progress("parts", None)

    def _kafka(self, java: Future[None]) -> None:
        java.result()
        self._progress("kafka", "starting")
        self._components.kafka.start()
        self._components.kafka.wait_ready()
        self._progress("kafka", None)

    def _registry(self, java: Future[None]) -> None:
        java.result()
        self._progress("registry", "starting")
        self._components.registry.start()
        self._components.registry.wait_ready()
        self._progress("registry", None)

    def _postgres(self) -> None:
        self._progress("postgres", "starting")
        components, settings = self._components, self._components.settings
        if components.etcd is not None:
            components.etcd.start()
            components.etcd.wait_ready()
        components.postgres.start()
        components.postgres.wait_ready()
        self._progress("postgres", "making roles")
        ensure_roles(
            settings.conninfo(user=SUPERUSER, dbname="postgres"), settings.passwords
        )
        self._progress("postgres", None)


def stop_all(components: Components) -> None:
    """Clients before what they use: etcd goes last."""
    with ThreadPoolExecutor(thread_name_prefix="stop") as pool:
        futures = [
            pool.submit(components.kafka.stop),
            pool.submit(components.postgres.stop),
            pool.submit(components.registry.process.terminate),
        ]
        for future in futures:
            future.result()
    if components.etcd is not None:
        components.etcd.process.terminate()
