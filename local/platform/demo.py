"""The demo: real parts, real load, a worker killed half way, and the audit's word.

`make demo` starts the stack if none runs, makes a ledger and topics for this run alone
(those of earlier runs are removed: what their accounts have spent would be declined
here, and be audited again), runs two Bank workers
and a Store for DURATION seconds, with another Store that serves HTTP and some payments
through it, kills one worker with SIGKILL half way and starts it again, waits until all
is applied, and ends with the audit table.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from rich.console import Console
from rich.live import Live
from rich.table import Table

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.show import show
from local.platform.accounts import ACCOUNTS, set_up
from local.platform.api_traffic import ApiTraffic
from local.platform.platform import Platform, platforms
from local.platform.program import Program
from local.processes.errors import StackError
from local.stack import Stack, StackConfig
from local.stack.screen import StartScreen

WORKERS = 2
WIDTH = 84  # of a recording, in characters
NAME = "demo-"
CATCH_UP_SECONDS_MAX = 120.0
ACK_LINE_BYTES = 37  # a UUID and a newline


@dataclass(frozen=True)
class Counts:
    """What the ledger says at one moment."""

    at: float
    applied: int
    posted: int
    declined: int


class AckLogs:
    """What each Store acknowledged; new files at every run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.generated = folder / "demo-acknowledged.log"
        self.api = folder / "demo-acknowledged-api.log"
        for path in (self.generated, self.api):
            path.unlink(missing_ok=True)

    def count(self) -> int:
        """How many transfers were acknowledged so far."""
        found = (path for path in (self.generated, self.api) if path.exists())
        return sum(path.stat().st_size // ACK_LINE_BYTES for path in found)

    def joined(self) -> Path:
        """All in one file, once both Stores have ended."""
        with self.generated.open("ab") as out:
            out.write(self.api.read_bytes())
        self.api.unlink()
        return self.generated


def run(
    config: StackConfig,
    seconds: float,
    *,
    keep: bool,
    reports: Path,
    recording: Path | None = None,
) -> bool:
    """Run the demo; whether every invariant holds.

    What it shows is kept as a picture at `recording`.
    """
    console = Console() if recording is None else Console(record=True, width=WIDTH)
    with a_stack(config, keep, console) as stack:
        platform = new_platform(stack, config.state_dir / "logs", console)
        logs = AckLogs(reports.parent)
        opened = platform.applied()
        began = time.monotonic()
        api = _load(platform, seconds, logs, console)
        took = time.monotonic() - began
        applied = platform.applied() - opened
        report = _audit(platform, logs.joined(), console)
        show(report, console)
        result = _result(report, logs.count(), applied, took)
        result["api"] = dict(api.states)
        result["audit_seconds"] = report.seconds
        reports.mkdir(parents=True, exist_ok=True)
        (reports / "demo.json").write_text(json.dumps(result, indent=2) + "\n")
        _goodbye(console, platform, result, keep, reports)
    if recording is not None:
        _keep_picture(console, recording)
    return report.invariants_ok


def _keep_picture(console: Console, path: Path) -> None:
    """What was shown, without the font that whoever looks at it would fetch."""
    picture = re.sub(
        r"(?s)@font-face \{.*?\}\s*", "", console.export_svg(title="make demo")
    )
    path.write_text("".join(f"{line.rstrip()}\n" for line in picture.splitlines()))


@contextmanager
def a_stack(config: StackConfig, keep: bool, console: Console) -> Iterator[Stack]:
    """The one that runs, else one for as long as this; `keep` leaves it running."""
    if Stack.running(config.state_dir):
        console.print("using the stack that runs already")
        yield Stack.attach(config.state_dir)
        return
    began = time.monotonic()
    screen = StartScreen(console)
    stack = Stack(config, screen.progress)
    with screen.shown():
        stack.start()
    console.print(f"stack ready after {time.monotonic() - began:.0f} s")
    try:
        yield stack
        if keep:
            stack.detach()
    finally:
        if not keep:
            stack.stop()


def new_platform(stack: Stack, logs: Path, console: Console) -> Platform:
    """Ledger, topics and accounts of this run; nothing is left of earlier ones."""
    began = time.monotonic()
    with console.status("making a ledger, schemas, topics and accounts ..."):
        for name in platforms(stack):
            if name.startswith(NAME):
                Platform(stack, name, logs).remove()
        platform = Platform(stack, f"{NAME}{uuid4().hex[:6]}", logs)
        set_up(platform)
    took = time.monotonic() - began
    console.print(f"{platform.dbname} made, {ACCOUNTS:,} accounts: {took:.0f} s")
    return platform


def _audit(platform: Platform, ack_log: Path, console: Console) -> AuditReport:
    with console.status("auditing ...") as status:
        return platform.audit(ack_log, lambda doing: status.update(f"audit: {doing}"))


def _load(
    platform: Platform, seconds: float, logs: AckLogs, console: Console
) -> ApiTraffic:
    """Workers and Stores at work, one worker killed half way; then all caught up."""
    with ExitStack() as programs:
        workers = [programs.enter_context(_worker(platform, n)) for n in range(WORKERS)]
        generated = ("--seconds", str(seconds), "--seed", "1")
        store = programs.enter_context(
            platform.store(*generated, "--ack-log", str(logs.generated))
        )
        serving = programs.enter_context(platform.store_api(ack_log=logs.api))
        api = programs.enter_context(ApiTraffic(serving.url()))
        began = last = _counts(platform)
        doing = "two workers, a Store that generates and one that serves HTTP"
        with Live(console=console, refresh_per_second=4) as live:
            while True:
                time.sleep(0.5)  # the pace of the display
                now = _counts(platform)
                table = _progress(began, last, now, logs.count(), doing)
                table.caption = str(api)
                live.update(table)
                last = now
                ran = now.at - began.at
                if ran > seconds / 2 and doing.startswith("two"):
                    workers[0].kill()
                    workers[0] = programs.enter_context(_worker(platform, 0))
                    doing = "worker 0 was killed with SIGKILL and started again"
                if store.process.poll() is not None:
                    api.stop()
                    if now.applied - began.applied >= logs.count():
                        break
                if ran > seconds + CATCH_UP_SECONDS_MAX:
                    raise StackError(f"still not all applied: {workers[0].log}")
        serving.terminate()
        platform.wait_applied(last.applied)
        for worker in workers:
            worker.terminate()
    if api.failure is not None:
        raise StackError(f"the API failed: {api.failure}; see {serving.log}")
    return api


def _worker(platform: Platform, number: int) -> Program:
    # A short session timeout: the killed worker's partitions move within seconds.
    return platform.bank(str(number), session_timeout_ms=6000)


def _counts(platform: Platform) -> Counts:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(records), 0)::bigint,"
            " coalesce(sum(posted), 0)::bigint,"
            " coalesce(sum(declined), 0)::bigint FROM all_batches"
        ).fetchone()
    assert row is not None, "an aggregate has one row"
    return Counts(time.monotonic(), *row)


def _progress(began: Counts, last: Counts, now: Counts, sent: int, doing: str) -> Table:
    """What a person sees while it runs."""
    rate = (now.applied - last.applied) / max(0.001, now.at - last.at)
    table = Table(title=doing)
    for column in (
        "seconds",
        "sent",
        "applied",
        "a second",
        "lag",
        "posted",
        "declined",
    ):
        table.add_column(column, justify="right")
    applied = now.applied - began.applied
    table.add_row(
        f"{now.at - began.at:.0f}",
        f"{sent:,}",
        f"{applied:,}",
        f"{rate:,.0f}",
        f"{max(0, sent - applied):,}",
        f"{now.posted - began.posted:,}",
        f"{now.declined - began.declined:,}",
    )
    return table


def _result(
    report: AuditReport, sent: int, applied: int, took: float
) -> dict[str, object]:
    return {
        "sent": sent,
        "applied": applied,
        "posted": report.posted,
        "declined": report.declined,
        "quarantined": report.quarantined,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "invariants_ok": report.invariants_ok,
        "transfers_per_second": round(applied / took),
        "seconds": round(took, 1),
    }


def _goodbye(
    console: Console,
    platform: Platform,
    result: dict[str, object],
    keep: bool,
    reports: Path,
) -> None:
    console.print(
        f"sent {result['sent']:,}, lost {result['lost']}, duplicated "
        f"{result['duplicated']}; {result['transfers_per_second']:,} transfers a "
        f"second, a worker killed on the way; see {reports / 'demo.json'}"
    )
    if keep:
        console.print(
            "the stack is still up: make status, make serve, make down, "
            f'make psql ARGS="-d {platform.dbname}"'
        )
