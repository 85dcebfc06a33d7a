"""Sets up what the programs need: `python -m once migrate | register | topics`.

All three are idempotent: running one again changes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from once import resources
from once.errors import Defect, OnceError, exit_status, from_postgres
from once.migrate import migrate as apply_migrations
from once.registry import Registry, load_schema
from once.settings import required

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def migrate(folder: str = "postgres/migrations") -> None:
    """Apply the SQL migrations, as the role in ONCE_MIGRATOR_CONNINFO."""
    try:
        with psycopg.connect(required("ONCE_MIGRATOR_CONNINFO")) as connection:
            applied = apply_migrations(connection, resources.find(folder))
    except psycopg.Error as error:
        raise from_postgres(error, "migrating") from error
    print(f"applied {', '.join(applied) or 'nothing: all was there'}")


@app.command()
def register(pairs: Annotated[list[str], typer.Argument(help="SUBJECT=FILE")]) -> None:
    """Register schemas at ONCE_REGISTRY_URL; an incompatible one is refused."""
    registry = Registry(required("ONCE_REGISTRY_URL"), _registry_ca())
    for pair in pairs:
        subject, _, file = pair.partition("=")
        schema_id = registry.register(subject, load_schema(resources.find(file)))
        print(f"{subject} has id {schema_id}")


@app.command()
def topics(
    pairs: Annotated[list[str], typer.Argument(help="TOPIC=PARTITIONS")],
    replication: int = 3,
) -> None:
    """Create topics at ONCE_BOOTSTRAP_SERVERS, with min ISR = replication - 1."""
    admin = AdminClient({"bootstrap.servers": required("ONCE_BOOTSTRAP_SERVERS")})
    wanted = [
        NewTopic(
            topic,
            num_partitions=int(count),
            replication_factor=replication,
            config={"min.insync.replicas": str(max(1, replication - 1))},
        )
        for topic, _, count in (pair.partition("=") for pair in pairs)
    ]
    for topic, made in admin.create_topics(wanted).items():
        try:
            made.result()
            print(f"{topic} created")
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Defect(f"topic {topic}: {error.args[0].str()}") from error
            print(f"{topic} was there")


def _registry_ca() -> Path | None:
    named = os.environ.get("ONCE_REGISTRY_CA")
    return Path(named) if named else None


if __name__ == "__main__":
    try:
        app()
    except OnceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(exit_status(error))
