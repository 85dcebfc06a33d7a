"""The quarantine's command line: look at what was set aside, and put it back.

As the ledger's owner, by ONCE_MIGRATOR_CONNINFO; Kafka and registry as the Bank has
them (BANK_...).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from consumers.bank.codec import Reason, TransferCodec
from consumers.bank.redrive import Redriver
from consumers.bank.settings import KafkaAndRegistry
from once.errors import Refused
from once.postgres import from_postgres
from once.registry import Registry
from once.settings import load, required

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Partition = Annotated[int, typer.Argument(min=0)]
Offset = Annotated[int, typer.Argument(min=0)]

_LIST = """
SELECT q.partition, q.record_offset, q.reason, q.detail, q.quarantined_at,
       r.new_partition, r.new_offset
FROM quarantine AS q LEFT JOIN redrives AS r USING (topic, partition, record_offset)
WHERE topic = %(topic)s AND (%(reason)s::text IS NULL OR q.reason = %(reason)s)
ORDER BY q.quarantined_at DESC LIMIT %(most)s
"""


@app.command("list")
def show_list(
    reason: Annotated[str | None, typer.Option(help="only these")] = None,
    most: Annotated[int, typer.Option(min=1, help="the newest ones")] = 50,
) -> None:
    """What was set aside, the newest first, and what was put back."""
    topic = load(KafkaAndRegistry).topic
    with _ledger() as connection, connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            _LIST, {"topic": topic, "reason": reason, "most": most}
        ).fetchall()
    table = Table(title=f"{len(found)} records of {topic} set aside")
    for column in ("partition", "offset", "reason", "detail", "when", "put back as"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(
            str(row["partition"]),
            str(row["record_offset"]),
            row["reason"],
            row["detail"],
            f"{row['quarantined_at']:%Y-%m-%d %H:%M:%S}",
            _back(row),
        )
    Console(markup=False).print(table)


@app.command()
def show(partition: Partition, offset: Offset) -> None:
    """One record whole, and what it would be if it were read now; as JSON."""
    settings = load(KafkaAndRegistry)
    with _ledger() as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT * FROM quarantine"
            " WHERE topic = %s AND partition = %s AND record_offset = %s",
            (settings.topic, partition, offset),
        ).fetchone()
    if row is None:
        raise Refused(f"nothing of {settings.topic}[{partition}]@{offset} is set aside")
    if row["reason"] == Reason.ENDS_WORKERS:
        print(json.dumps({**row, "read_now": "not tried"}, default=_plain, indent=2))
        return
    registry = Registry(settings.registry_url, settings.registry_ca)
    try:
        codec = TransferCodec(registry, f"{settings.topic}-value")
        columns, faults = codec.decode([row["record_value"]], [row["record_key"]])
    finally:
        registry.close()
    now: Any = {name: column[0] for name, column in columns.items()}
    if 0 in faults:
        now = f"{faults[0].reason}: {faults[0].detail}"
    print(json.dumps({**row, "read_now": now}, default=_plain, indent=2))


@app.command()
def redrive(
    partition: Partition, offsets: Annotated[list[int], typer.Argument(min=0)]
) -> None:
    """Put records back into the topic, each once, under their right key.

    A record that is still no transfer is refused; one that was put back stays so.
    """
    settings = load(KafkaAndRegistry)
    with _ledger() as connection:
        redriver = Redriver(settings, connection)
        try:
            for offset in offsets:
                print(redriver.redrive(partition, offset))
        finally:
            redriver.close()


def _ledger() -> psycopg.Connection:
    try:
        return psycopg.connect(required("ONCE_MIGRATOR_CONNINFO"))
    except psycopg.Error as error:
        raise from_postgres(error, "opening the ledger") from error


def _back(row: dict[str, Any]) -> str:
    if row["new_partition"] is None:
        return ""
    if row["new_offset"] is None:
        return f"[{row['new_partition']}], unfinished: redrive it again"
    return f"[{row['new_partition']}]@{row['new_offset']}"


def _plain(value: Any) -> str:
    return f"0x{bytes(value).hex()}" if isinstance(value, bytes) else str(value)
