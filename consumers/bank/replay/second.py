"""The second ledger as it stands: empty, or as an earlier replay has left it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import psycopg

from consumers.bank.position import OpenBatch, Position
from consumers.bank.posting import Poster
from consumers.bank.replay.log import Partition
from consumers.bank.replay.settings import ReplaySettings
from consumers.bank.told import Told
from once.chain import GENESIS
from once.postgres import from_postgres

_OPEN = (
    "SELECT open_first, coalesce((SELECT hash FROM batches AS b WHERE b.topic = p.topic"
    " AND b.partition = p.partition AND b.batch_number = p.batch_number - 1), %s)"
    " FROM positions AS p WHERE topic = %s AND partition = %s"
)


def opened(
    connection: psycopg.Connection,
    settings: ReplaySettings,
    topic_ids: Mapping[int, str],
    told: Told,
) -> Poster:
    """A poster that owns all partitions, where the ledger stands.

    A batch that was left to grow grows on: what its hash is over is read again. Raises
    OnceError.
    """
    poster = Poster(connection, settings.topic)
    try:
        for partition, topic_id in topic_ids.items():
            found = poster.ledger.open_positions([partition], topic_id)
            connection.commit()
            _, position = found[partition]
            if position.left_open:
                position = _grown(connection, settings, partition, position, told)
            poster.positions[partition] = position
    except psycopg.Error as error:
        raise from_postgres(error, "reading where the second ledger stands") from error
    return poster


def _grown(
    connection: psycopg.Connection,
    settings: ReplaySettings,
    partition: int,
    position: Position,
    told: Told,
) -> Position:
    row = connection.execute(_OPEN, (GENESIS, settings.topic, partition)).fetchone()
    connection.commit()
    assert row is not None, "it has a position"
    log = Partition(
        settings.client, settings.group, settings.topic, partition, start=row[0]
    )
    try:
        records = log.until(position.next_offset)
    finally:
        log.close()
    verdicts = told.told(partition, records.offsets)
    batch = OpenBatch(bytes(row[1]), records.offsets, records.values, verdicts)
    return replace(position, open=batch, left_open=False)
