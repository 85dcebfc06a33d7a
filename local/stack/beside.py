"""A Postgres beside the one of a stack: what a backup was restored to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from local.processes.ports import choose_ports
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import wait_until
from local.stack.endpoints import HOST
from local.stack.passwords import SUPERUSER
from local.stack.patroni_config import server_parameters
from local.stack.postgres import CONNECT_TIMEOUT_SECONDS, PostgresConfig
from local.stack.postmaster import find_postmaster

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
        def writable() -> bool:
            process.require_running()
            try:
                conninfo = self.conninfo(user=SUPERUSER, dbname="postgres")
                with psycopg.connect(conninfo) as connection:
                    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                    return row == (False,)
            except psycopg.OperationalError:
                return False

        wait_until(
            writable,
            what="the restored ledger",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            logs=[process.spec.log],
        )

    def _process(self) -> ManagedProcess:
        layout, home = self.config.layout, self.data.parent
        parameters = {
            **server_parameters(lz4=self.config.has_lz4()),
            "listen_addresses": HOST,
            "port": self.port,
            # What the settings in the backup say of these is of where it was taken.
            "hba_file": self.data / "pg_hba.conf",
            "ident_file": self.data / "pg_ident.conf",
            "synchronous_standby_names": "",
            "archive_mode": "off",
        }
        command = [str(self.config.parts.postgres_bin / "postgres")]
        command += ["-D", str(self.data)]
        for key, value in parameters.items():
            command += ["-c", f"{key}={value}"]
        return ManagedProcess(
            ProcessSpec(
                name=NAME,
                command=self.config.servant.command(command),
                directory=home,
                log=layout.log(NAME),
                pid_file=layout.pid_file(NAME),
                environment={"HOME": str(home), "LC_ALL": "C.UTF-8"},
                stop_signal=signal.SIGINT,
                relatives=lambda: find_postmaster(self.data),
            )
        )


def make_beside(config: PostgresConfig) -> Beside:
    """One for these servers; nothing is started."""
    port = choose_ports([NAME], remembered={})[NAME]
    config.servant.own(config.layout.data(NAME))
    return Beside(config, port)
