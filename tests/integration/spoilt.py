"""Copies of a healthy platform to plant violations in, one for each test.

A copy reads the same log and has a ledger of its own; where the test asks for it, also
results and group offsets of its own. Nothing needs to be restored.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import fastavro
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from consumers.bank.audit.report import AuditReport
from local.platform import Platform
from local.stack import Stack
from once import resources
from tests.fix_platform import a_platform, emit, transfer
from tests.integration.kafka_admin import create_topic, delete_topics, set_group_offsets
from tests.integration.published import Result, messages, values
from tests.integration.raw import Foreign, Raw, partition_of

PAYER, MERCHANT = 1, 101
PARTITION = partition_of(PAYER)
ABORTED = UUID(int=7)


@contextmanager
def a_healthy_platform(stack: Stack, logs: Path) -> Iterator[Platform]:
    """Several batches in each partition, with one of each kind of record in them."""
    with a_platform(stack, logs) as platform, Foreign(platform) as foreign:
        first = foreign.transfer(amount=70)
        aborted = foreign.transfer(transfer_id=ABORTED.bytes)
        unknown = foreign.transfer(credit_account=999)
        with platform.bank(session_timeout_ms=2000) as bank:
            foreign.send(first, unknown, Raw(b"1", b"garbage"))
            emit(platform, *[transfer(payer) for payer in range(2, 12)])
            platform.wait_applied(13)
            foreign.send(aborted, commit=False)
            foreign.send(first)
            emit(platform, transfer(PAYER), transfer(PAYER), transfer(PAYER, amount=9))
            platform.wait_applied(17)
            emit(platform, *[transfer(payer) for payer in range(1, 12)])
            platform.wait_applied(28)
            assert bank.terminate() == 0
        assert broken(platform.audit()) == {}
        yield platform


@dataclass(frozen=True)
class Row:
    """A row of `transfers`."""

    transfer_id: UUID
    debit_account: int
    credit_account: int
    amount: int
    debits_after: int
    record_offset: int
    partition: int


@dataclass(frozen=True)
class Copy(Platform):
    """A platform whose ledger, results or group are not the original's."""

    database: str
    own_results: str | None = None
    own_group: str | None = None

    @property
    def dbname(self) -> str:
        return self.database

    @property
    def results_topic(self) -> str:
        return self.own_results or super().results_topic

    @property
    def group(self) -> str:
        return self.own_group or super().group

    def spoil(self, statement: str, *values: object) -> None:
        """Run it as the superuser with triggers off; exactly one row is touched."""
        with psycopg.connect(self.conninfo("postgres")) as connection:
            connection.execute("SET session_replication_role = replica")
            cursor = connection.execute(statement.encode(), values)
            assert cursor.rowcount in (-1, 1), f"{cursor.rowcount} rows: {statement}"

    def run(self, statement: str) -> None:
        """Run it as the superuser."""
        with psycopg.connect(self.conninfo("postgres")) as connection:
            connection.execute(statement.encode())

    def rows(self, condition: str) -> list[Row]:
        """The transfers that meet a condition, in the order of the log."""
        names = "transfer_id, debit_account, credit_account, amount, debits_after"
        query = (
            f"SELECT {names}, record_offset, partition FROM transfers"
            f" WHERE {condition} ORDER BY partition, record_offset"
        )
        with psycopg.connect(self.conninfo("audit")) as connection:
            cursor = connection.cursor(row_factory=class_row(Row))
            return cursor.execute(query.encode()).fetchall()

    def where(self, row: Row) -> str:
        """How the audit names the record that a row came from."""
        return f"{self.topic}[{row.partition}]@{row.record_offset}"

    @contextmanager
    def with_results(
        self, found: Sequence[Result], wrong_key: Result | None = None
    ) -> Iterator[Self]:
        """The same, with these results instead of those that were published.

        Each has its emitter as its key, but that of `wrong_key`.
        """
        topic = f"results-{uuid4()}"
        create_topic(self, topic, 1)
        with Foreign(self) as foreign:
            encoder = _Encoder(self)
            records = [encoder.record(each, each == wrong_key) for each in found]
            foreign.send(*records, partition=0, topic=topic)
        yield replace(self, own_results=topic)
        delete_topics(self, topic)

    def with_group_offsets(self, offsets: dict[int, int]) -> Self:
        """The same, with results said to be published up to there."""
        moved = replace(self, own_group=f"group-{uuid4()}")
        set_group_offsets(moved, {**self.published(), **offsets})
        return moved


@contextmanager
def a_copy(original: Platform) -> Iterator[Copy]:
    """A copy of the original, on whose ledger nobody may be working."""
    database = f"{original.dbname}-{uuid4().hex[:8]}"
    superuser = original.stack.conninfo(user="postgres", dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        name, template = sql.Identifier(database), sql.Identifier(original.dbname)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER migrator")
        connection.execute(create.format(name, template))
        try:
            yield Copy(original.stack, original.name, original.logs, database)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def broken(report: AuditReport) -> dict[str, str]:
    """What is found, by invariant that does not hold."""
    return {
        name: "\n".join(line.findings)
        for name, line in report.invariants.items()
        if not line.holds
    }


def posted(copy: Copy) -> list[Row]:
    """The payer's posted transfers in the order of the log; the first was repeated."""
    return copy.rows(f"verdict = 1 AND debit_account = {PAYER}")


def declined(copy: Copy) -> Row:
    (row,) = copy.rows("verdict <> 1")
    return row


def found(copy: Copy, *invariants: str) -> str:
    """All findings, after checking that they break these invariants and no others."""
    said = broken(copy.audit())
    assert set(said) == set(invariants), said
    return "\n".join(said.values())


def aborted_offset(copy: Copy) -> int:
    """Where the record of the aborted transaction lies, in the payer's partition."""
    (offset,) = [
        message.offset()
        for message in messages(copy, copy.topic, "read_uncommitted")
        if ABORTED.bytes in (message.value() or b"")
    ]
    assert offset is not None
    return offset


class _Encoder:
    """Writes results as the Bank would, one a record."""

    def __init__(self, platform: Platform) -> None:
        text = resources.find("avro/transfer-results.avsc").read_text()
        self._schema = fastavro.parse_schema(json.loads(text))
        (_, example), *_ = values(platform, platform.results_topic)
        self._frame = example[:5]

    def record(self, result: Result, wrong_key: bool) -> Raw:
        item = {
            "offset": result.offset,
            "transfer_id": result.transfer_id.bytes,
            "verdict": result.verdict,
        }
        emitter, partition = result.emitter, result.partition
        record = {"emitter": emitter, "partition": partition, "results": [item]}
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._schema, record)
        key = b"somebody else's" if wrong_key else emitter
        return Raw(key, self._frame + body.getvalue())
