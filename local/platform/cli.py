"""The platform from the command line: its programs, with the settings of the stack.

python -m local run consumers.bank run --workers 2
python -m local set-up                 ledger, schemas, topics, accounts
python -m local serve --tls            the Store's HTTP API, with a journal
python -m local demo --seconds 30
python -m local restore-drill           the ledger is lost, and comes back
python -m local replay -- --anew       a second ledger from the log, compared
python -m local try                    all of it in one terminal, until Ctrl-C
python -m local certs                  .local/certs/{ca,store,store-key}.pem
python -m local token --client me      a token on standard output
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from local.platform import demo as demonstration
from local.platform import replayed
from local.platform import restore_drill as drill
from local.platform import trial
from local.platform.accounts import ACCOUNTS, MERCHANTS
from local.platform.accounts import set_up as set_up_accounts
from local.platform.credentials import ISSUER, SCOPES, Certificates, Issuer
from local.platform.environments import for_program
from local.platform.parts import pid_of
from local.platform.platform import Platform
from local.platform.scraped import scraped
from local.processes.errors import StackError
from local.processes.files import narrow
from local.stack import DEFAULT_STATE_DIR, Stack, StackConfig
from local.stack.cli import Brokers, JarsDir, Postgres, StateDir

app = typer.Typer()


# What follows the program's name is the program's.
@app.command(context_settings={"allow_interspersed_args": False})
def run(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Module, then its own")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Become one of our programs, with the settings of the stack that runs."""
    if not arguments:
        raise StackError("which program? For example: producers.store emit --count 9")
    _become(arguments, _platform(state_dir), {})


@app.command("set-up")
def set_up(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Ledger, schemas, topics and the demo's accounts; what is there stays."""
    platform = _platform(state_dir)
    set_up_accounts(platform)
    typer.echo(
        f"{platform.dbname}, {len(platform.topics)} topics, their schemas, accounts"
        f" 1 to {ACCOUNTS + MERCHANTS:,}; next, each in a terminal: make bank, make"
        " serve; or make store ARGS=examples/payments.ndjson"
    )


@app.command()
def serve(
    tls: Annotated[bool, typer.Option(help="With TLS, and tokens asked for.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """The Store's HTTP API, by default open, on loopback only."""
    platform = _platform(state_dir)
    kept = platform.stack.endpoints.state_dir / "data" / "store-api"
    narrow(kept.parent, [kept.name])  # of a Store that was less careful
    settings = _serving(kept, state_dir, tls)
    _become(["producers.store", "serve"], platform, settings)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="How long the Store emits.")] = 30.0,
    keep: Annotated[bool, typer.Option(help="Leave the stack running.")] = False,
    reports: Path = Path("build/reports"),
    recording: Annotated[
        Path | None, typer.Option(help="Where a picture of it goes, as SVG.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Payments under load, a killed worker, the audit; 0 when all invariants hold."""
    config = StackConfig(state_dir=state_dir, jars_dir=state_dir / "jars")
    holds = demonstration.run(
        config, seconds, keep=keep, reports=reports, recording=recording
    )
    raise typer.Exit(0 if holds else 1)


@app.command("restore-drill")
def restore_drill(
    records: Annotated[int, typer.Option(min=1000, help="Payments in all.")] = 500_000,
    brokers: Brokers = 3,
    postgres: Postgres = 3,
    jars_dir: JarsDir = None,
    reports: Path = Path("build/reports"),
    state_dir: StateDir = Path("build/restore-drill"),
) -> None:
    """Lose the ledger, restore it, and prove that it is the same; 0 when it is."""
    config = StackConfig(
        state_dir=state_dir,
        jars_dir=jars_dir or DEFAULT_STATE_DIR / "jars",
        brokers=brokers,
        postgres=postgres,
        backups=True,
    )
    raise typer.Exit(0 if drill.run(config, records, reports) else 1)


# What follows is the program's.
@app.command("replay", context_settings={"allow_interspersed_args": False})
def replay_log(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Of consumers.bank.replay")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave the second ledger there.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Build a second ledger from the log alone, and compare; 0 when they are equal."""
    raise typer.Exit(replayed.replay(_platform(state_dir), arguments or [], keep))


@app.command("try")
def try_it(
    brokers: Brokers = 3,
    postgres: Postgres = 3,
    jars_dir: JarsDir = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Stack, Bank and Store until Ctrl-C, to send payments to."""
    for polite in (signal.SIGTERM, signal.SIGINT):  # ignored, where nohup started us
        signal.signal(polite, signal.default_int_handler)
    config = StackConfig(
        state_dir=state_dir,
        jars_dir=jars_dir or state_dir / "jars",
        brokers=brokers,
        postgres=postgres,
    )
    trial.run(config, Console())


@app.command()
def pid(
    part: Annotated[str, typer.Argument(help="As in status; or primary, bank.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """The process of a part, to be looked at, or killed."""
    typer.echo(pid_of(Stack.attach(state_dir), part))


@app.command()
def certs(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Make an authority and a certificate of the Store for this machine."""
    made = Certificates(state_dir / "certs")
    made.make()
    for path in (made.ca, made.cert, made.key):
        typer.echo(path)


@app.command()
def token(
    client: Annotated[str, typer.Option(help="The token's subject.")] = "demo",
    scopes: Annotated[str, typer.Option(help="Separated by spaces.")] = SCOPES,
    seconds: Annotated[int, typer.Option(help="How long it is good.")] = 3600,
    accounts: Annotated[
        str, typer.Option(help="To debit, as 1,100-199; empty: any.")
    ] = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Print a token that the Store of this machine takes."""
    mine = [int(a) if a.isdigit() else a for a in accounts.split(",") if a] or None
    typer.echo(Issuer(state_dir / "auth").token(client, scopes, seconds, mine))


def _platform(state_dir: Path) -> Platform:
    return Platform(Stack.attach(state_dir), "", state_dir / "logs")


def _become(arguments: list[str], platform: Platform, settings: dict[str, str]) -> None:
    """What is set in our own environment wins."""
    environment = {**platform.environment(), **settings, **os.environ}
    environment = scraped(platform.stack, arguments, environment)
    environment = for_program(arguments, environment)
    os.execve(sys.executable, [sys.executable, "-m", *arguments], environment)


def _serving(kept: Path, state_dir: Path, secure: bool) -> dict[str, str]:
    """Settings of a Store that serves: by default open, on loopback only."""
    settings = {
        "STORE_INSTANCE": "api",
        "STORE_JOURNAL": str(kept / "journal.db"),
        "STORE_INDEX": str(kept / "index.db"),
    }
    if not secure:
        return {**settings, "STORE_DEMO": "true"}
    certificates, issuer = Certificates(state_dir / "certs"), Issuer(state_dir / "auth")
    certificates.make()
    return {
        **settings,
        "STORE_TLS_CERT": str(certificates.cert),
        "STORE_TLS_KEY": str(certificates.key),
        "STORE_JWKS": str(issuer.jwks),
        "STORE_TOKEN_ISSUER": ISSUER,
    }
