"""The Store's command line: `python -m producers.store emit | serve | ...`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from once import cli, logs, open_files
from once.errors import ExitStatus
from once.redact import printable
from once.settings import load
from producers.store import accounts_cli, lines
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.generate import Generator, Population
from producers.store.settings import ServeSettings, SmokeSettings, StoreSettings
from producers.store.stream import Stream, Tally, open_stream, paced
from producers.store.transfers import Chunk

OPEN_FILES = 128  # brokers, logs, index and journal

A_LINE = """A line of at most 4096 bytes is one transfer, with its own id. For example:
{"transfer_id": "0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c31", "debit_account": 1,
"credit_account": 100001, "amount": 250, "currency": "EUR", "memo": "coffee"}

Exit status 1: some lines were wrong, and are named; all others were sent. Settings are
STORE_... (docs/operations.md).
"""

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
stderr = Console(stderr=True, soft_wrap=True)  # a sentence stays one line


@app.callback()
def _main() -> None:
    """Emits transfers to Kafka; each is decided exactly once, posted or declined."""


@app.command(epilog=A_LINE)
def emit(
    source: Annotated[
        Path | None, typer.Argument(help="file of JSON lines; - is standard input")
    ] = None,
    *,
    count: Annotated[int | None, typer.Option(min=1, help="make up so many")] = None,
    seconds: Annotated[float | None, typer.Option(help="make up for so long")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="at most, a second; not of a file")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="same seed, same payments")] = None,
    accounts: Annotated[int, typer.Option(help="payers 1..N")] = 100_000,
    merchants: Annotated[int, typer.Option(help="payees N+1..N+M")] = 100,
    hot_share: Annotated[
        float, typer.Option(min=0, max=1, help="share paid to the first merchant")
    ] = 0.0,
    amount_max: Annotated[int, typer.Option(help="minor units")] = 10_000,
    ack_log: Annotated[
        Path | None, typer.Option(help="append acknowledged ids to this file")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="say at the end in JSON what was done")
    ] = False,
) -> None:
    """Emit transfers: read from JSON lines, or made up (--count, --seconds)."""
    if (source is None) == (count is None and seconds is None):
        raise typer.BadParameter("give either a file of lines, or --count / --seconds")
    if source is not None and rate is not None:
        raise typer.BadParameter(
            "--rate is for --count / --seconds: a file is not paced"
        )
    settings = load(StoreSettings)
    open_files.allow(OPEN_FILES)
    logs.configure("store", settings.instance, settings.log_level)
    rejected: list[int] = []

    def reject(number: int, reason: str) -> None:
        rejected.append(number)
        sentence = printable(f"line {number}: {reason}")  # it may quote the line
        stderr.print(sentence, markup=False, highlight=False)

    population = Population(
        accounts=accounts,
        merchants=merchants,
        hot_share=hot_share,
        amount_max=amount_max,
    )
    with ExitStack() as stack:
        # Before anything is waited for.
        file = None if source is None else stack.enter_context(_opened(source))
        acknowledged = stack.enter_context(_acknowledgements(ack_log))
        stream = stack.enter_context(open_stream(settings))
        if file is not None:
            largest = settings.transaction_records_max
            linger_seconds = settings.transaction_interval_ms / 1000
            chunks = lines.chunks(
                file, reject, records_max=largest, linger_seconds=linger_seconds
            )
        else:
            generator = Generator(population, seed)
            made_up = paced(generator, settings, count=count, rate=rate)
            chunks = _until(made_up, seconds)
        began = time.monotonic()
        tally = _emit_with_bar(stream, chunks, count, acknowledged)
        stream.emitters[0].metrics.rejected(len(rejected))
    _tell(tally, len(rejected), time.monotonic() - began, as_json)
    raise typer.Exit(ExitStatus.NOT_ALL if rejected else ExitStatus.DONE)


def _tell(tally: Tally, rejected: int, seconds: float, as_json: bool) -> None:
    """What was done: a sentence for people, or JSON for programs."""
    if as_json:
        print(json.dumps({**asdict(tally), "rejected": rejected, "seconds": seconds}))
        return
    print(
        f"acknowledged {tally.acknowledged} transfers in {tally.transactions} Kafka"
        f" transactions, {tally.acknowledged / seconds:,.0f}/s; rejected {rejected}"
    )


@app.command()
def serve() -> None:
    """Serve the HTTP API until SIGTERM; settings are STORE_... (docs/operations.md)."""
    settings = load(ServeSettings)
    needed = OPEN_FILES + settings.connections_max
    open_files.allow(needed, otherwise=", or lower STORE_CONNECTIONS_MAX")
    logs.configure("store", settings.instance, settings.log_level)
    # Imported here: it takes half a second that `emit` need not spend.
    import uvloop

    from producers.store.service import Service

    uvloop.run(Service(settings).run())


@app.command()
def smoke() -> None:
    """Ask a running Store whether it works; settings are SMOKE_... ."""
    from producers.store.smoke import Smoke

    Smoke(load(SmokeSettings)).run(print)


app.command()(accounts_cli.open_accounts)
app.command()(accounts_cli.change_account)


def _opened(source: Path) -> BinaryIO:
    """The lines. Raises BadParameter."""
    try:
        return sys.stdin.buffer if str(source) == "-" else source.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{source}: {error.strerror}") from None


def _acknowledgements(path: Path | None) -> AcknowledgementLog:
    """The log of what was acknowledged. Raises BadParameter."""
    try:
        return AcknowledgementLog(path)
    except OSError as error:
        raise typer.BadParameter(f"--ack-log {path}: {error.strerror}") from None


def _until(chunks: Iterator[Chunk], seconds: float | None) -> Iterator[Chunk | None]:
    end = None if seconds is None else time.monotonic() + seconds
    for chunk in chunks:
        yield chunk
        if end is not None and time.monotonic() >= end:
            return


def _emit_with_bar(
    stream: Stream,
    chunks: Iterator[Chunk | None],
    total: int | None,
    acknowledged: AcknowledgementLog,
) -> Tally:
    """Emit all chunks; on a terminal, a bar says how far it is."""
    columns = (
        TextColumn("acknowledged"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=total)
        return stream.emit(
            chunks,
            acknowledged,
            lambda tally: bar.update(task, completed=tally.acknowledged),
        )


if __name__ == "__main__":
    cli.run(app)
