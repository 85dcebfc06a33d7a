"""How far a platform is: what is applied, and what of it is published."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from local.processes.waiting import wait_until

# The declined and quarantined ones too.
APPLIED = "SELECT coalesce(sum(records), 0) FROM all_batches"
OPENED = "SELECT count(*) FROM account_changes WHERE partition IS NOT NULL"


@dataclass(frozen=True)
class Watch:
    """Looks at one ledger and at the offsets of the group that fills it."""

    conninfo: str
    bootstrap_servers: str
    topic: str
    group: str

    def applied(self) -> int:
        """Records applied so far, the declined and quarantined ones too."""
        with psycopg.connect(self.conninfo) as connection:
            row = connection.execute(APPLIED).fetchone()
        return int(row[0]) if row else 0

    def opened(self) -> int:
        """How many of them opened or changed accounts."""
        with psycopg.connect(self.conninfo) as connection:
            row = connection.execute(OPENED).fetchone()
        return int(row[0]) if row else 0

    def positions(self) -> dict[int, int]:
        """The next offset to apply, by partition."""
        with psycopg.connect(self.conninfo) as connection:
            return dict(
                connection.execute(
                    "SELECT partition, next_offset FROM positions WHERE topic = %s",
                    (self.topic,),
                ).fetchall()
            )

    def published(self) -> dict[int, int]:
        """The group's offsets, by partition: results are published below them."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": self.group,
                "isolation.level": "read_committed",
                "log_level": 2,
            }
        )
        try:
            asked = [TopicPartition(self.topic, p) for p in self.positions()]
            found = consumer.committed(asked, 10) if asked else []
            return {tp.partition: max(0, tp.offset) for tp in found}
        finally:
            consumer.close()

    def is_done(self, records: int) -> bool:
        """Whether so many records are applied, and all their results published."""
        if self.applied() < records:
            return False
        try:
            return self.positions() == self.published()
        except KafkaException:  # the group's coordinator has just died, or moves
            return False

    def wait_applied(self, records: int, timeout_seconds: float) -> None:
        """Until they are. Raises StackError."""
        wait_until(
            lambda: self.is_done(records),
            what=f"{records} records to be applied and published",
            timeout_seconds=timeout_seconds,
            interval_seconds=0.2,
        )
