"""Latency end to end: from a transfer's creation to its result, read committed.

A version 7 UUID carries the millisecond of its creation, so a results record is enough
to know how old its transfers are. A few of each record are sampled.
"""

from __future__ import annotations

import io
import threading
import time
from typing import Any, Self

import fastavro
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from local.platform import Platform
from once import resources
from once.registry import FRAME_BYTES, load_schema

SAMPLES_PER_RECORD = 8


class Latencies:
    """Follows the results topic in a thread."""

    def __init__(self, platform: Platform, since_seconds: float) -> None:
        """Transfers created before that Unix time are passed over."""
        self._since_ms = since_seconds * 1000
        schema = load_schema(resources.find("avro/transfer-results.avsc"))
        self._schema = fastavro.parse_schema(schema)
        self._milliseconds: list[float] = []
        self._over = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": platform.stack.endpoints.bootstrap_servers,
                "group.id": f"latency-{platform.name}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )
        topic = platform.results_topic
        there = self._consumer.list_topics(topic, 10).topics[topic].partitions
        # From now on, and at once: a group would have to form first.
        self._consumer.assign([TopicPartition(topic, p, OFFSET_END) for p in there])
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._consumer.close()

    def percentiles(self) -> dict[str, float]:
        """p50, p99 and the largest, in milliseconds."""
        ordered = sorted(self._milliseconds)
        if not ordered:
            return {}
        return {
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[int(len(ordered) * 0.99)],
            "max": ordered[-1],
            "samples": len(ordered),
        }

    def _follow(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.consume(100, 0.1):
                if message.error() is None:
                    self._note(message.value())

    def _note(self, value: bytes | None) -> None:
        assert value is not None, "every results record has a value"
        now_ms = time.time() * 1000
        body = io.BytesIO(value[FRAME_BYTES:])
        record: Any = fastavro.schemaless_reader(body, self._schema, None)
        results = record["results"]
        stride = max(1, len(results) // SAMPLES_PER_RECORD)
        for result in results[::stride]:
            created_ms = int.from_bytes(result["transfer_id"][:6], "big")
            if created_ms >= self._since_ms:
                self._milliseconds.append(round(now_ms - created_ms, 1))
