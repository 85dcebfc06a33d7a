"""Posters on the real ledger without Kafka: batches made by hand, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg

from consumers.bank.batch import Records, Slice, decode
from consumers.bank.codec import TransferCodec
from consumers.bank.database import connect
from consumers.bank.posted import Posting
from consumers.bank.posting import Poster
from local.platform import Platform
from local.processes.waiting import wait_until
from once.metrics import Laps
from once.registry import Registry
from tests.integration.raw import Encoder, Raw

TOPIC_ID = "made-by-a-test"


@contextmanager
def a_poster(
    platform: Platform, partitions: Sequence[int] = (0, 1)
) -> Iterator[Poster]:
    """A poster that believes that these partitions are its own."""
    connection = connect(platform.conninfo("bank"), "test")
    try:
        poster = Poster(connection, platform.topic)
        opened = poster.ledger.open_positions(partitions, TOPIC_ID)
        connection.commit()
        poster.positions.update({p: position for p, (_, position) in opened.items()})
        yield poster
    finally:
        connection.close()


class Batches:
    """Makes slices as the Bank would decode them, at offsets of the test's choice."""

    def __init__(self, platform: Platform) -> None:
        registry = Registry(platform.stack.endpoints.registry_url)
        self._codec = TransferCodec(registry, f"{platform.topic}-value")
        change = Encoder(platform).change()
        self._codec.decode([change.value], [change.key])  # its schema is known now
        registry.close()

    def slice(self, partition: int, first_offset: int, *records: Raw) -> Slice:
        """Records of one partition at consecutive offsets."""
        raw = Records(
            partition,
            list(range(first_offset, first_offset + len(records))),
            [each.key for each in records],
            [each.value for each in records],
            [None] * len(records),
        )
        (made,) = decode([raw], self._codec)
        return made


def write(poster: Poster, *slices: Slice) -> Posting:
    """Write a batch that the test commits."""
    return poster.write(slices, Laps())


def post(poster: Poster, *slices: Slice) -> list[list[int]]:
    """Post a batch; the verdicts by slice."""
    posting = write(poster, *slices)
    poster.commit(posting)
    return posting.verdicts


def wait_until_blocked(
    platform: Platform, waiting: psycopg.Connection, event: str = "Lock"
) -> None:
    """Until its server process waits: for a lock, or for a standby ("SyncRep")."""
    pid = waiting.info.backend_pid
    query = (
        "SELECT wait_event_type = %s OR wait_event = %s"
        " FROM pg_stat_activity WHERE pid = %s"
    )
    with psycopg.connect(platform.conninfo("postgres"), autocommit=True) as connection:

        def blocked() -> bool:
            row = connection.execute(query, (event, event, pid)).fetchone()
            return row is not None and bool(row[0])

        what = f"server process {pid} to wait ({event})"
        wait_until(blocked, what=what, timeout_seconds=20, interval_seconds=0.02)


def signal_backend(
    platform: Platform, signalled: psycopg.Connection, function: str
) -> None:
    """`pg_terminate_backend` or `pg_cancel_backend`, by the superuser."""
    with psycopg.connect(platform.conninfo("postgres")) as connection:
        query = f"SELECT {function}(%s)".encode()
        row = connection.execute(query, (signalled.info.backend_pid,)).fetchone()
    assert row == (True,)


def rows(platform: Platform) -> dict[UUID, tuple[int, int, str]]:
    """Partition, offset and verdict of every transfer in the ledger."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT transfer_id, partition, record_offset, verdict FROM ledger"
        return {row[0]: row[1:] for row in connection.execute(query)}
