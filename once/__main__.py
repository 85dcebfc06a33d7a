"""Sets up what the programs need, `python -m once migrate | register | topics`.

All three are idempotent: running one again changes nothing. `doctor` changes nothing
at all: it looks whether what is there can keep what is promised.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from confluent_kafka.admin import AdminClient
from rich.console import Console

from once import cli, logs, resources
from once.doctor.examine import examine
from once.doctor.report import as_json, as_table
from once.doctor.report import exit_status as status_of
from once.doctor.settings import DoctorSettings
from once.errors import Refused
from once.kafka import Trouble, client
from once.migrate import assert_again
from once.migrate import migrate as apply_migrations
from once.postgres import from_postgres
from once.registry import Registry, load_schema
from once.settings import KafkaSettings, load, required
from once.topics import ensure, wanted

PIPE_COLUMNS = 160  # of a table that goes into a file

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def _main() -> None:
    logs.configure("once", "0", "error")  # each command says what is wrong at its end


@app.command()
def migrate(
    folder: Annotated[
        str, typer.Option(help="of files that are applied once, in order")
    ] = "postgres/migrations",
    asserted: Annotated[
        str, typer.Option(help="of files that are run each time")
    ] = "postgres/asserted",
) -> None:
    """Apply the SQL migrations, as the role in ONCE_MIGRATOR_CONNINFO.

    Then take away the rights that must not be there, whether anything was applied or
    not: whoever operates Postgres may have given them back.
    """
    try:
        with psycopg.connect(required("ONCE_MIGRATOR_CONNINFO")) as connection:
            applied = apply_migrations(connection, resources.find(folder))
            warnings = assert_again(connection, resources.find(asserted))
    except psycopg.Error as error:
        raise from_postgres(error, "migrating") from error
    print(f"applied {', '.join(applied) or 'nothing: all was there'}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


@app.command()
def register(pairs: Annotated[list[str], typer.Argument(help="SUBJECT=FILE")]) -> None:
    """Register schemas at ONCE_REGISTRY_URL; an incompatible one is refused.

    For example transfers-value=avro/transfer.avsc
    """
    registry = Registry(required("ONCE_REGISTRY_URL"), _registry_ca())
    for pair in pairs:
        subject, _, file = pair.partition("=")
        if not subject or not file:
            raise typer.BadParameter(f"{pair!r} is not SUBJECT=FILE")
        schema_id = registry.register(subject, load_schema(resources.find(file)))
        print(f"{subject} has id {schema_id}")


@app.command()
def topics(
    pairs: Annotated[list[str], typer.Argument(help="TOPIC=PARTITIONS")],
    replication: Annotated[
        int, typer.Option(min=1, help="replicas of each partition")
    ] = 3,
) -> None:
    """Create topics at ONCE_BOOTSTRAP_SERVERS, with min ISR = replication - 1.

    For example transfers=6 (partitions). ONCE_KAFKA has the settings for TLS.

    One that was there stays as it is; where it differs from what was asked, each
    difference is said and the exit status is 65.
    """
    asked = [wanted(*_topic(pair), replication) for pair in pairs]
    trouble = Trouble()
    admin = client(AdminClient, load(KafkaSettings).client, trouble)
    made, differences = ensure(admin, asked, trouble)
    different = {each.topic for each in differences}
    for topic in asked:
        if topic.name in made:
            print(f"{topic.name} created")
        elif topic.name not in different:
            print(f"{topic.name} was there, as asked")
    for difference in differences:
        print(difference, file=sys.stderr)
    if differences:
        raise Refused(
            f"not as asked, and left as it is: {', '.join(sorted(different))}"
        )


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Look at Kafka, registry and Postgres; 0 when nothing is worse than a warning.

    Exit status 65: what is there could lose or repeat what was promised; 78: the
    programs cannot work with it.
    """
    settings = load(DoctorSettings)
    findings = list(examine(settings))
    if json:
        print(as_json(findings))
    else:
        columns = None if sys.stdout.isatty() else PIPE_COLUMNS
        Console(markup=False, highlight=False, width=columns).print(as_table(findings))
    raise typer.Exit(status_of(findings))


def _topic(pair: str) -> tuple[str, int]:
    name, _, count = pair.partition("=")
    if not name or not count.isdecimal() or int(count) < 1:
        raise typer.BadParameter(f"{pair!r} is not TOPIC=PARTITIONS")
    return name, int(count)


def _registry_ca() -> Path | None:
    named = os.environ.get("ONCE_REGISTRY_CA")
    return Path(named) if named else None


if __name__ == "__main__":
    cli.run(app)
