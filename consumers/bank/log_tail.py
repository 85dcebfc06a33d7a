"""Looks at single records of the log, to see whether it is still the same log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.bank.position import digest_of
from once import kafka
from once.errors import Retriable

SECONDS_MAX = 10.0


def digests(
    settings: Mapping[str, Any], group: str, topic: str, offsets: Mapping[int, int]
) -> dict[int, bytes | None]:
    """Digest of the committed record at one offset of each partition.

    None where no record is at just that offset. Raises Retriable when the brokers do
    not answer.
    """
    if not offsets:
        return {}
    small = {**settings, "fetch.message.max.bytes": 65_536}
    reader = kafka.onlooker(small, group)
    found: dict[int, bytes | None] = {}
    until = time.monotonic() + SECONDS_MAX
    try:
        reader.assign([TopicPartition(topic, p, o) for p, o in offsets.items()])
        while len(found) < len(offsets):
            left = until - time.monotonic()
            if left <= 0:
                raise Retriable(f"the last records of {topic} could not be read again")
            for message in reader.consume(len(offsets), min(left, 0.2)):
                _take(message, offsets, found)
        return found
    except KafkaException as error:
        raise Retriable(f"while reading {topic} again: {error}") from error
    finally:
        reader.close()


def _take(
    message: Any, offsets: Mapping[int, int], found: dict[int, bytes | None]
) -> None:
    partition, error = message.partition(), message.error()
    if partition in found:
        return
    if error is None:
        same = message.offset() == offsets[partition]
        found[partition] = digest_of(message.value()) if same else None
    elif error.code() == KafkaError._PARTITION_EOF:
        found[partition] = None
    elif not kafka.passes(error):
        raise KafkaException(error)
