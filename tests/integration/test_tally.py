"""The sample of a consumer of one's own counts each verdict once, whatever dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from local.platform import Platform
from local.processes.waiting import wait_until
from tests.samples import EXAMPLES

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

COMMAND = [sys.executable, str(EXAMPLES / "python" / "tally.py")]
IN_DOUBT = 70


@dataclass
class Tallying:
    """A database of its own, and the programs that count into it."""

    platform: Platform
    conninfo: str
    log: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        endpoints = self.platform.stack.endpoints
        settings = {
            "TALLY_BOOTSTRAP_SERVERS": endpoints.bootstrap_servers,
            "TALLY_REGISTRY_URL": endpoints.registry_url,
            "TALLY_TOPIC": self.platform.results_topic,
            "TALLY_CONNINFO": self.conninfo,
        }
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                COMMAND, env={**os.environ, **settings}, stderr=log
            )
        self.running.append(started)
        return started

    def counted(self) -> dict[str, int]:
        """The table as it is, empty while there is none."""
        with psycopg.connect(self.conninfo) as connection:
            if connection.execute("SELECT to_regclass('tally')").fetchone() == (None,):
                return {}
            return dict(connection.execute("SELECT verdict, records FROM tally"))

    def wait(self, records: int) -> None:
        """Until at least so many are counted."""
        wait_until(
            lambda: sum(self.counted().values()) >= records,
            what=f"{records} verdicts to be counted",
            timeout_seconds=90,
        )


@pytest.fixture
def tallying(platform: Platform, tmp_path: Path) -> Iterator[Tallying]:
    name = f"tally-{uuid4().hex[:8]}"
    stack = platform.stack
    superuser = stack.conninfo(user="postgres", dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} OWNER migrator")
        connection.execute(create.format(sql.Identifier(name)))
        conninfo = stack.conninfo(user="migrator", dbname=name)
        made = Tallying(platform, conninfo, tmp_path / "tally.log")
        with ExitStack() as ending:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            ending.callback(connection.execute, drop.format(sql.Identifier(name)))
            yield made
            for each in made.running:
                each.kill()
                each.wait()


def in_ledger(platform: Platform) -> dict[str, int]:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        return dict(
            connection.execute("SELECT verdict, count(*) FROM ledger GROUP BY verdict")
        )


@contextmanager
def paying(platform: Platform, count: int) -> Iterator[None]:
    """A Bank, and a Store that sends so many."""
    load = ["--count", str(count), "--rate", "1500", "--accounts", "100"]
    load += ["--merchants", "10", "--amount-max", "100"]
    with platform.bank(session_timeout_ms=2000), platform.store(*load) as store:
        yield
        assert store.process.wait(120) == 0, store.text
        platform.wait_applied(count)


def test_a_killed_one_and_two_at_once_count_each_verdict_once(
    platform: Platform, tallying: Tallying
) -> None:
    with paying(platform, 12_000):
        first = tallying.start()
        tallying.wait(1_000)
        first.kill()
        first.wait()
        before = sum(tallying.counted().values())
        tallying.start()
        second = tallying.start()
        tallying.wait(before + 2_000)
        second.terminate()
        assert second.wait(60) in (0, IN_DOUBT), tallying.log.read_text()
        if tallying.running[1].poll() is not None:
            tallying.start()  # it was fenced: somebody starts it again
    tallying.wait(12_000)
    assert tallying.counted() == in_ledger(platform)


def test_while_its_database_is_restarted_it_ends_and_goes_on_where_it_was(
    platform: Platform, tallying: Tallying
) -> None:
    with paying(platform, 1_000):
        first = tallying.start()
        tallying.wait(500)
    with psycopg.connect(tallying.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with paying(platform, 5_000):  # it notices when there is something to count
        assert first.wait(30) == IN_DOUBT, tallying.log.read_text()
        assert "Retriable: " in tallying.log.read_text()
        tallying.start()
    tallying.wait(6_000)
    assert tallying.counted() == in_ledger(platform)


def test_one_that_wakes_up_behind_another_is_fenced(
    platform: Platform, tallying: Tallying
) -> None:
    """The position in the table decides, whatever Kafka or the program believes."""
    with paying(platform, 500):
        tallying.start()
    tallying.wait(500)
    with psycopg.connect(tallying.conninfo) as connection:
        connection.execute("UPDATE tally_positions SET next_offset = next_offset + 1")
    with platform.bank(session_timeout_ms=2000), platform.store("--count", "500"):
        assert tallying.running[0].wait(60) == IN_DOUBT, tallying.log.read_text()
    assert "was counted by another one" in tallying.log.read_text()
    assert sum(tallying.counted().values()) == 500
