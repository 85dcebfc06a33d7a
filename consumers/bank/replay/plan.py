"""What the first ledger says of where it stands and how its batches were cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg

from once.errors import Refused
from once.postgres import from_postgres


class Cut(NamedTuple):
    """One batch of the first ledger: records of a partition that share a link."""

    partition: int
    end: int  # behind its last offset
    closed: bool


class First:
    """The first ledger at one moment. Methods raise psycopg.Error."""

    def __init__(self, conninfo: str, topic: str) -> None:
        """Raises Retriable, and Refused when no log could make such a ledger."""
        self._topic = topic
        try:
            self.connection = psycopg.connect(conninfo, application_name="replay")
        except psycopg.Error as error:
            raise from_postgres(error, "reading the first ledger") from error
        try:
            self.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self.connection.read_only = True
            self.topic_ids = self._topic_ids()
            self._check_by_hand()
        except psycopg.Error as error:
            self.close()
            raise from_postgres(error, "reading the first ledger") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the snapshot."""
        self.connection.close()

    def cuts(self) -> Iterator[Cut]:
        """All batches, in the order in which they were committed."""
        with self.connection.cursor("cuts") as cursor:
            cursor.execute(
                "SELECT partition, last_offset + 1, NOT open FROM all_batches"
                " WHERE topic = %s ORDER BY committed_at, partition, batch_number",
                (self._topic,),
            )
            for row in cursor:
                yield Cut(*row)

    def decisions(self) -> Iterator[Cut]:
        """What was decided together, in the order of deciding: for deciding anew."""
        with self.connection.cursor("decisions") as cursor:
            cursor.execute(
                "SELECT u.partition, u.next_offset, false"
                " FROM decisions, unnest(partitions, next_offsets)"
                "  WITH ORDINALITY AS u (partition, next_offset, place)"
                " WHERE topic = %s ORDER BY decision, place",
                (self._topic,),
            )
            for row in cursor:
                yield Cut(*row)

    def positions(self) -> dict[int, int]:
        """How far each partition is applied."""
        return dict(
            self.connection.execute(
                "SELECT partition, next_offset FROM positions WHERE topic = %s",
                (self._topic,),
            ).fetchall()
        )

    def _topic_ids(self) -> dict[int, str]:
        return dict(
            self.connection.execute(
                "SELECT partition, topic_id FROM positions WHERE topic = %s",
                (self._topic,),
            ).fetchall()
        )

    def _check_by_hand(self) -> None:
        row = self.connection.execute(
            "SELECT count(*) FROM account_changes WHERE change_id IS NULL"
        ).fetchone()
        if row and row[0]:
            raise Refused(
                f"{row[0]} openings and changes of accounts were made by hand, before "
                "accounts came through the log, so no log can make this ledger; see "
                "docs/how-to/replay.md"
            )
