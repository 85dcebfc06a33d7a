"""The results topic as any registry-aware client reads it, without code of the Bank."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import fastavro
import httpx
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from local.platform import Platform
from local.processes.waiting import wait_until

SECONDS = 30.0


@dataclass(frozen=True)
class Result:
    """One verdict, and the record it is about."""

    partition: int
    offset: int
    transfer_id: UUID
    verdict: str
    emitter: bytes | None = None


def values(platform: Platform, topic: str) -> list[tuple[bytes | None, bytes]]:
    """Key and value of all committed records of a topic that have a value."""
    return [
        (message.key(), value)
        for message in messages(platform, topic)
        if (value := message.value()) is not None
    ]


def messages(
    platform: Platform, topic: str, isolation: str = "read_committed"
) -> list[Message]:
    """All records of a topic; with `read_uncommitted` the aborted ones too."""
    consumer = Consumer(
        {
            "bootstrap.servers": platform.stack.endpoints.bootstrap_servers,
            "group.id": "outsider",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "log_level": 3,
        }
    )
    try:
        known = consumer.list_topics(topic, timeout=SECONDS).topics[topic]
        waiting = set(known.partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in waiting])
        found: list[Message] = []
        while waiting:
            message = consumer.poll(SECONDS)
            assert message is not None, f"{topic} is silent"
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            else:
                raise AssertionError(error.str())
        return found
    finally:
        consumer.close()


def results(platform: Platform) -> list[Result]:
    """Every result that is published, in no particular order."""
    return [
        result
        for _, value in values(platform, platform.results_topic)
        for result in decode(platform.stack.endpoints.registry_url, value)
    ]


def wait_for_results(
    platform: Platform, count: int, timeout_s: float = 60.0
) -> list[Result]:
    """All results, once there are `count` of them; more are returned too."""
    what = f"{count} results in {platform.results_topic}"
    return _wait(platform, lambda found: len(found) >= count, what, timeout_s)


def wait_for_verdicts(
    platform: Platform, ids: Sequence[UUID], timeout_s: float = 60.0
) -> list[str]:
    """The published verdicts on these transfers. Fails when one has more than one."""
    asked = set(ids)
    what = f"results of {', '.join(map(str, ids))}"

    def there(found: list[Result]) -> bool:
        return asked <= {result.transfer_id for result in found}

    found = _wait(platform, there, what, timeout_s)
    mine = [result for result in found if result.transfer_id in asked]
    assert len(mine) == len(asked), f"more than one result for one: {mine}"
    said = {result.transfer_id: result.verdict for result in mine}
    return [said[each] for each in ids]


def _wait(
    platform: Platform,
    condition: Callable[[list[Result]], bool],
    what: str,
    timeout_s: float,
) -> list[Result]:
    found: list[Result] = []

    def there() -> bool:
        found[:] = results(platform)
        return condition(found)

    wait_until(there, what=what, timeout_seconds=timeout_s, interval_seconds=0.1)
    return found


def decode(registry_url: str, value: bytes) -> Iterator[Result]:
    """The results in one record."""
    assert value[0] == 0, f"not framed: {value[:5].hex()}"
    schema = _schema(registry_url, int.from_bytes(value[1:5], "big"))
    body = io.BytesIO(value[5:])
    record: Any = fastavro.schemaless_reader(body, schema, None)
    assert body.read() == b"", "bytes after the record"
    for result in record["results"]:
        yield Result(
            record["partition"],
            result["offset"],
            UUID(bytes=result["transfer_id"]),
            result["verdict"],
            record["emitter"],
        )


@cache
def _schema(registry_url: str, schema_id: int) -> Any:
    answer = httpx.get(f"{registry_url}/schemas/ids/{schema_id}").raise_for_status()
    return fastavro.parse_schema(json.loads(answer.json()["schema"]))
