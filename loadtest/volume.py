"""Bytes that each transfer leaves: in the ledger, in its log of changes, in Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import psycopg

from local.platform import Platform

LEDGER = (
    "SELECT sum(pg_total_relation_size(oid))::bigint, pg_current_wal_lsn() - '0/0'"
    " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


@dataclass(frozen=True)
class Volume:
    """What is on disks at one moment; of Kafka the copy on one broker."""

    ledger: int
    wal: int
    log: int

    @classmethod
    def now(cls, platform: Platform) -> Self:
        """Read from the servers and from the broker's folder."""
        with psycopg.connect(platform.conninfo("postgres")) as connection:
            row = connection.execute(LEDGER).fetchone()
        assert row is not None, "an aggregate has one row"
        return cls(int(row[0]), int(row[1]), _log_bytes(platform))

    def per_transfer(self, before: Volume, transfers: int) -> dict[str, float]:
        """What came since `before`, by transfer."""
        return {
            "ledger": round((self.ledger - before.ledger) / transfers, 1),
            "wal": round((self.wal - before.wal) / transfers, 1),
            "log": round((self.log - before.log) / transfers, 1),
        }


def _log_bytes(platform: Platform) -> int:
    folder = platform.stack.home("kafka-1") / "log"
    return sum(
        segment.stat().st_size
        for topic in platform.topics
        for segment in folder.glob(f"{topic}-*/*.log")
    )
