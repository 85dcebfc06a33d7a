"""The log as a replay reads it: many partitions, each from its beginning, by turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from consumers.bank.batch import Records
from once import kafka
from once.errors import Refused, Retriable

SILENCE_SECONDS_MAX = 60.0
RECORDS_PER_READ = 10_000
READ_AHEAD = {
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 4 << 20,
}
SECONDS_MAX = 15.0


class Partition:
    """One partition's committed records, in order. Raises Retriable."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        topic: str,
        number: int,
        *,
        start: int = 0,
    ) -> None:
        """Raises Refused when the log does not reach back to `start` any more."""
        self._place, self._number = f"{topic}[{number}]", number
        self._consumer = kafka.onlooker({**config, **READ_AHEAD}, group, "error")
        self._waiting: list[Any] = []
        try:
            asked = TopicPartition(topic, number)
            begin, _ = self._consumer.get_watermark_offsets(asked, SECONDS_MAX)
            if begin > start:
                raise Refused(
                    f"{self._place} begins at offset {begin}, and the second ledger "
                    f"stands at {start}: what lies between, retention has taken, and "
                    "nobody can replay it"
                )
            self._consumer.assign([TopicPartition(topic, number, start)])
        except KafkaException as error:
            self.close()
            raise Retriable(f"while reading {self._place}: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def until(self, end: int) -> Records:
        """The records from where it stands up to before an offset, which has one."""
        heard = time.monotonic()
        while not self._waiting or self._waiting[-1].offset() < end - 1:
            came = kafka.read(
                self._consumer, RECORDS_PER_READ, f"reading {self._place}"
            )
            heard = time.monotonic() if came else heard
            if time.monotonic() - heard > SILENCE_SECONDS_MAX:
                raise Retriable(f"{self._place} gives no record before offset {end}")
            self._waiting += came
        count = sum(message.offset() < end for message in self._waiting)
        mine, self._waiting = self._waiting[:count], self._waiting[count:]
        return Records(
            self._number,
            [message.offset() for message in mine],
            [message.key() for message in mine],
            [message.value() for message in mine],
            [],
        )
