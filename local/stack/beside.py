"""A Postgres beside the one of a stack: what a backup was restored to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from local.processes.ports import choose_ports
from local.processes.process import ManagedProcess
from local.processes.waiting import wait_until
from local.stack.endpoints import HOST
from local.stack.passwords import SUPERUSER
from local.stack.postgres import (
    CONNECT_TIMEOUT_SECONDS,
    PostgresConfig,
    is_writable,
    server,
)

NAME = "postgres-beside"
READY_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Beside:
    """One server of its own, without standbys, that archives nothing."""

    config: PostgresConfig
    port: int

    @property
    def data(self) -> Path:
        """Its data, to be restored there before it starts."""
        return self.config.layout.data(NAME) / "data"

    def conninfo(self, *, user: str, dbname: str) -> str:
        """For libpq."""
        return make_conninfo(
            host=HOST,
            port=self.port,
            user=user,
            password=self.config.passwords[user],
            dbname=dbname,
            target_session_attrs="read-write",  # not while it still rolls on
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """From when it has rolled on to its moment, and takes writes."""
        process = self._process()
        process.start()
        try:
            self._wait_writable(process)
            yield
        finally:
            process.terminate()

    def _wait_writable(self, process: ManagedProcess) -> None:
        conninfo = self.conninfo(user=SUPERUSER, dbname="postgres")

        def writable() -> bool:
            process.require_running()
            return is_writable(conninfo)

        wait_until(
            writable,
            what="the restored ledger",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            logs=[process.spec.log],
        )

    def _process(self) -> ManagedProcess:
        # What the settings in the backup say of these is of where it was taken.
        return server(
            self.config,
            NAME,
            self.port,
            {
                "hba_file": self.data / "pg_hba.conf",
                "ident_file": self.data / "pg_ident.conf",
                "synchronous_standby_names": "",
                "archive_mode": "off",
            },
        )


def make_beside(config: PostgresConfig) -> Beside:
    """One for these servers; nothing is started."""
    port = choose_ports([NAME], remembered={})[NAME]
    config.servant.own(config.layout.data(NAME))
    return Beside(config, port)
