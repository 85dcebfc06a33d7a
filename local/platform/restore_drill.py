"""The ledger is lost, and comes back: `make restore-drill`.

On a stack of its own, which archives: payments, a full backup, payments, an incremental
one, more payments. A moment is noted, and payments go on. Then every database server
is killed while a Store emits and the Bank applies. The backup is restored beside, up to
that moment, which is before the end on purpose; a Bank in restore mode takes what was
told since from Kafka; a Bank applies what nobody was told of, and what the Store has
sent meanwhile. The audit judges the restored ledger. The lost one, started again, is
compared with it, row by row, as far as anybody was told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.show import show
from local.platform.accounts import set_up
from local.platform.platform import Platform
from local.platform.program import Program
from local.processes.errors import StackError
from local.processes.waiting import wait_until
from local.stack import Stack, StackConfig
from local.stack.beside import Beside
from local.stack.screen import StartScreen

TIMEOUT_SECONDS = 600.0
EMITTING_SECONDS = 4.0  # each time: long enough to die in the midst of it
ROWS = (
    "SELECT partition, count(*), sum(hashtextextended(ledger::text, 0)::numeric)"
    " FROM ledger WHERE record_offset < (%s::jsonb ->> partition::text)::bigint"
    " GROUP BY partition ORDER BY partition"
)
CHAIN = (
    "SELECT partition, batch_number, hash FROM batches"
    " WHERE batch_number <= (%s::jsonb ->> partition::text)::bigint"
    " ORDER BY partition, batch_number"
)


@dataclass(frozen=True)
class Restored(Platform):
    """The same topics and group, with the ledger beside."""

    beside: Beside

    def conninfo(self, role: str) -> str:
        """How `role` reaches it."""
        return self.beside.conninfo(user=role, dbname=self.dbname)


@dataclass
class Times:
    """How long each step took, in seconds, as it goes."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shown while it runs."""
        began = time.monotonic()
        with self.console.status(f"{name} ..."):
            yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        self.console.print(f"[green]done[/] {name}: {self.seconds[name]} s")


def run(config: StackConfig, records: int, reports: Path) -> bool:
    """Drill it; whether nothing was lost and every invariant holds."""
    console = Console()
    screen = StartScreen(console)
    stack = Stack(config, screen.progress)
    if Stack.running(config.state_dir):
        raise StackError(f"a drill runs in {config.state_dir}, or was killed: stop it")
    stack.wipe()
    with screen.shown():
        stack.start()
    try:
        platform = Platform(stack, "", config.state_dir / "logs")
        result = _Drill(platform, records, Times(console)).run()
    finally:
        stack.stop()
    _keep(result, reports, console)
    return bool(result["holds"])


class _Drill:
    """One drill, from the first payment to the comparison."""

    def __init__(self, platform: Platform, records: int, times: Times) -> None:
        self._platform = platform
        self._stack = platform.stack
        self._records = records // 5  # so many each time
        self._times = times
        self._acknowledged = platform.logs.parent / "acknowledged.log"
        self._acknowledged.unlink(missing_ok=True)  # of an earlier drill
        self._sent = self._opened = 0

    def run(self) -> dict[str, Any]:
        platform, step = self._platform, self._times.step
        with step("ledger, topics and accounts"):
            set_up(platform)
            self._sent = self._opened = platform.applied()  # accounts
            home = self._stack.home(self._primary())
            self._stack.backups.prepare(home)
        with platform.bank() as bank:
            moment, at_moment = self._live(home), self._sent
            self._emit()  # after the moment: it comes back from Kafka alone
            platform.wait_applied(self._sent, TIMEOUT_SECONDS)
            self._wait_archived(moment)
            with self._emitting() as store:
                self._wait_for_some(store)
                behind = self._archive_age()
                for name in self._stack.postgres.processes:
                    self._stack.processes[name].kill()
                lost_at = time.monotonic()
            bank.kill()
        beside = self._stack.beside()
        with step("restore the backup, up to the moment"):
            self._stack.backups.restore(home, beside.data, moment)
        restored = Restored(self._stack, "", platform.logs, beside)
        result = self._bring_back(restored, lost_at, at_moment)
        return {**result, "archive_behind_seconds": round(behind, 1)}

    def _live(self, home: Path) -> str:
        """Payments and backups, until the moment to which all is restored."""
        for kind in ("full", "incr"):
            self._emit()
            self._platform.wait_applied(self._sent, TIMEOUT_SECONDS)
            with self._times.step(f"{kind} backup"):
                self._stack.backups.take(home, kind)
        self._emit()
        self._platform.wait_applied(self._sent, TIMEOUT_SECONDS)
        return str(self._ask("SELECT clock_timestamp()"))

    def _bring_back(
        self, restored: Restored, lost_at: float, at_moment: int
    ) -> dict[str, Any]:
        step = self._times.step
        with ExitStack() as running:
            with step("roll on to the moment"):
                running.enter_context(restored.beside.running())
            was, told = restored.applied(), _told(restored)
            chain = _batches(restored)
            with step("take the verdicts since then from Kafka"):
                self._replay(restored, told)
            rebuilt = restored.applied() - was
            with step("apply what nobody was told of"), restored.bank("again") as bank:
                restored.wait_applied(self._sent, TIMEOUT_SECONDS)
                bank.terminate()
            back_after = time.monotonic() - lost_at
            report = restored.audit(self._acknowledged)
            show(report, self._times.console)
            with step("compare with the lost ledger, row by row"):
                self._stack.start_missing()
                differing = _differences(self._platform, restored, told, chain)
        if was != at_moment or rebuilt < self._records:
            differing.append("the restore did not end at the moment")
        return {
            **_of(report),
            "holds": report.invariants_ok and not report.lost and not differing,
            "differences": differing,
            "records": self._sent - self._opened,
            "records_rebuilt_from_kafka": rebuilt,
            "rto_seconds": round(back_after, 1),
            "seconds": self._times.seconds,
        }

    def _replay(self, restored: Restored, told: dict[int, int]) -> None:
        with restored.bank("restore", restore=True) as bank:
            wait_until(
                lambda: all(
                    restored.positions().get(partition, 0) >= offset
                    for partition, offset in told.items()
                ),
                what=f"restore mode to take what was told; see {bank.log}",
                timeout_seconds=TIMEOUT_SECONDS,
            )
            bank.terminate()

    def _emit(self) -> None:
        """Some payments, acknowledged."""
        with self._emitting():
            pass

    @contextmanager
    def _emitting(self) -> Iterator[Program]:
        """A Store that sends some; at the end all are acknowledged."""
        log = ("--ack-log", str(self._acknowledged))
        count = ("--count", str(self._records), "--seed", str(self._sent + 1))
        pace = ("--rate", str(self._records / EMITTING_SECONDS))
        with self._platform.store(*count, *pace, *log) as store:
            yield store
            store.process.wait(TIMEOUT_SECONDS)
        if store.process.returncode != 0:
            raise StackError(f"the Store failed: {store.log}")
        self._sent += self._records

    def _wait_for_some(self, store: Program) -> None:
        """Until the Bank is in the midst of what this Store sends."""
        before = self._platform.applied()

        def flows() -> bool:
            assert store.process.poll() is None, f"it has ended: {store.log}"
            return self._platform.applied() > before + self._records // 4

        wait_until(
            flows, what="payments to flow", timeout_seconds=60, interval_seconds=0.05
        )

    def _primary(self) -> str:
        found = self._stack.postgres.leader()
        if found is None:
            raise StackError("no primary leads")
        return found

    def _wait_archived(self, moment: str) -> None:
        """Until the archive reaches beyond the moment, by itself."""
        asked = "SELECT last_archived_time > %s::timestamptz FROM pg_stat_archiver"
        wait_until(
            lambda: bool(self._ask(asked, moment)),
            what="the archive to reach beyond the moment",
            timeout_seconds=TIMEOUT_SECONDS,
        )

    def _archive_age(self) -> float:
        """How long ago the last part of the log of changes was archived."""
        age = (
            "SELECT extract(epoch FROM clock_timestamp() - last_archived_time)::float8"
        )
        return float(self._ask(f"{age} FROM pg_stat_archiver"))

    def _ask(self, query: str, *values: object) -> Any:
        conninfo = self._platform.conninfo("postgres")
        with psycopg.connect(conninfo, autocommit=True) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None


def _told(restored: Platform) -> dict[int, int]:
    """Up to where results were published, once Kafka has ended what was left open."""
    found: dict[int, int] = {}

    def known() -> bool:
        try:
            found.update(restored.published())
        except KafkaException:
            return False
        return True

    wait_until(known, what="the group's offsets", timeout_seconds=60)
    return found


def _batches(platform: Platform) -> dict[int, int]:
    """The last batch that is closed, by partition."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT partition, max(batch_number) FROM batches GROUP BY partition"
        return dict(connection.execute(query).fetchall())


def _differences(
    lost: Platform, restored: Platform, told: dict[int, int], chain: dict[int, int]
) -> list[str]:
    """What of the lost ledger is not in the restored one, word for word."""
    found = []
    for what, query, until in (
        ("rows", ROWS, told),
        ("the chain up to the moment", CHAIN, chain),
    ):
        asked = json.dumps(until)
        both = []
        for platform in (lost, restored):
            with psycopg.connect(platform.conninfo("audit")) as connection:
                both.append(connection.execute(query, (asked,)).fetchall())
        if both[0] != both[1] or not both[0]:
            found.append(f"{what} differ")
    return found


def _of(report: AuditReport) -> dict[str, Any]:
    return {
        "posted": report.posted,
        "declined": report.declined,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "invariants_ok": report.invariants_ok,
    }


def _keep(result: dict[str, Any], reports: Path, console: Console) -> None:
    reports.mkdir(parents=True, exist_ok=True)
    path = reports / "restore-drill.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    table = Table(title="the ledger was lost, and is back", show_header=False)
    for name in (
        "records",
        "records_rebuilt_from_kafka",
        "lost",
        "duplicated",
        "archive_behind_seconds",
        "rto_seconds",
    ):
        table.add_row(name.replace("_", " "), f"{result[name]:,}")
    console.print(table)
    for difference in result["differences"]:
        console.print(f"[red]{difference}[/]")
    console.print(f"see {path}")
