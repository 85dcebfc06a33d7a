"""What others put under a Store's key is skipped, whatever it is, and stops nobody."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import fastavro
import pytest
from confluent_kafka import Consumer, Message
from opentelemetry.metrics import NoOpMeterProvider

from once.errors import OnceError, Retriable, exit_status
from once.health import Progress
from once.http_metrics import FollowMetrics
from once.kafka import Trouble
from once.registry import Registry, frame, load_schema
from once.renewal import Renewal
from producers.store.facts import Decided
from producers.store.followed import Followed
from producers.store.follower import Follower, News
from producers.store.index import Index
from producers.store.reading import Delivered, FactReader
from producers.store.receipts import (
    Receipt,
    ReceiptsCodec,
    by_client,
    new_emitter,
)
from producers.store.states import Verdicts
from tests.contract.golden import AVRO
from tests.contract.registry_server import serving
from tests.unit.entries import SECONDS_MAX

RECEIPTS, RESULTS, FOREIGN = 1, 2, 3
SCHEMAS = {
    RECEIPTS: load_schema(AVRO / "transfer-receipts.avsc"),
    RESULTS: load_schema(AVRO / "transfer-results.avsc"),
    FOREIGN: load_schema(AVRO / "transfer.avsc"),
}
EMITTER = new_emitter()
VERDICTS = Verdicts()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(SCHEMAS) as url:
        registry = Registry(url)
        yield registry
        registry.close()


@pytest.fixture
def reader(registry: Registry) -> FactReader:
    return FactReader(registry, results_topic="results", verdicts=VERDICTS)


def message(topic: str, value: bytes | None, key: bytes | None = EMITTER) -> Delivered:
    record = Message(topic=topic, partition=0, offset=7, key=key, value=value)
    return cast(Delivered, record)


def avro(schema_id: int, record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(frame(schema_id))
    schema = fastavro.parse_schema(SCHEMAS[schema_id])
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def result(transfer_id: bytes, verdict: str) -> bytes:
    one = {"offset": 3, "transfer_id": transfer_id, "verdict": verdict}
    return avro(RESULTS, {"emitter": EMITTER, "partition": 0, "results": [one]})


OLD = 4  # results of a Bank that does not say what was decided first
SCHEMAS[OLD] = load_schema(AVRO / "versions" / "transfer-results" / "1.avsc")


def received(ids: bytes, digests: bytes) -> bytes:
    one = {"client": "ada", "transfer_ids": ids, "digests": digests}
    return avro(RECEIPTS, {"emitter": EMITTER, "clients": [one]})


ODD: dict[str, bytes | None] = {
    "a tombstone": None,
    "nothing": b"",
    "one byte": b"\x00",
    "text": b"hello",
    "another magic": b"\x01" + bytes(20),
    "an unknown schema": frame(99) + bytes(20),
    "a foreign schema": frame(FOREIGN) + bytes(200),
    "a body cut short": result(uuid4().bytes, "POSTED")[:-9],
    "a count without end": frame(RESULTS) + b"\x00\x00" + b"\xff" * 9 + b"\x01",
    "a negative length": frame(RECEIPTS) + EMITTER + b"\x02\x01",
    "text that is not UTF-8": frame(RECEIPTS) + EMITTER + b"\x02\x02\xff\x00\x00\x00",
    "a verdict that there is not": result(uuid4().bytes, "POSTED")[:-2] + b"\x7e\x00",
    "ids that are none": received(b"x" * 17, b"d" * 17),
    "more ids than digests": received(b"x" * 32, b"d" * 16),
}


@pytest.mark.parametrize("topic", ["receipts", "results"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_a_record_that_cannot_be_read_is_skipped_and_the_others_are_told(
    reader: FactReader, registry: Registry, odd: bytes | None, topic: str
) -> None:
    mine = Receipt(uuid4().bytes, "ada", b"d" * 16)
    (good,) = ReceiptsCodec(registry, "receipts").encode(EMITTER, by_client([mine]))
    facts = reader.read(
        [
            message(topic, odd),
            message("receipts", good["value"]),
            message("results", result(mine.transfer_id, "POSTED")),
            message(topic, odd),
        ]
    )
    assert facts.receipts[EMITTER] == by_client([mine])
    decided = Decided(mine.transfer_id, [VERDICTS.names.index("POSTED")], [0])
    assert decided in facts.results[EMITTER]
    assert facts.ids() == {mine.transfer_id}


def test_a_record_is_not_skipped_because_the_registry_is_away(unused_port: int) -> None:
    away = Registry(f"http://127.0.0.1:{unused_port}")
    reader = FactReader(away, results_topic="results", verdicts=VERDICTS)
    with pytest.raises(Retriable):
        reader.read([message("results", result(uuid4().bytes, "POSTED"))])
    away.close()


@pytest.mark.parametrize(
    "key",
    [None, b"", b"1", EMITTER[:15], uuid4().bytes, b"\xff"],
    ids=["none", "empty", "short", "cut", "unknown", "no text"],
)
def test_what_is_not_under_a_stores_key_is_not_even_looked_at(
    reader: FactReader, key: bytes | None
) -> None:
    assert not reader.read([message("results", b"\x00", key)]).ids()


def test_receipts_of_nothing_are_none(reader: FactReader) -> None:
    facts = reader.read([message("receipts", received(b"", b""))])
    assert facts.receipts == {EMITTER: []} and not facts.ids()


class Ending(Follower):
    """A follower that meets what nobody thought of."""

    def _follow(self, consumer: Consumer, renewal: Renewal) -> None:
        raise KeyError("nobody thought of it")


def test_a_follower_that_ends_unforeseen_ends_the_service(
    registry: Registry, tmp_path: Path, unused_port: int
) -> None:
    index, ended = Index(tmp_path / "index", VERDICTS, kept=False), threading.Event()
    errors: list[OnceError] = []

    def failed(error: OnceError) -> None:
        errors.append(error)
        ended.set()

    follower = following(Ending, registry, index, unused_port, failed)
    follower.start()
    assert ended.wait(SECONDS_MAX)
    (error,) = errors
    assert exit_status(error) == 70
    assert "the follower ended, unforeseen: KeyError" in str(error)
    assert str(follower.check()).startswith(str(error))
    follower.close()
    index.close()


def following(
    kind: type[Follower],
    registry: Registry,
    index: Index,
    port: int,
    failed: Callable[[OnceError], None],
) -> Follower:
    followed = Followed(
        kafka={"bootstrap.servers": f"127.0.0.1:{port}"},
        registry=registry,
        receipts_topic="receipts",
        results_topic="results",
        verdicts=VERDICTS,
        trouble=Trouble(),
    )
    metrics = FollowMetrics(NoOpMeterProvider().get_meter("test"))
    news = News(metrics, wanted=lambda: False, changed=lambda ids: None)
    return kind(followed, index, news=news, progress=Progress(60), failed=failed)


@pytest.mark.parametrize(
    ("schema", "first"), [(RESULTS, {"first_verdict": "POSTED"}), (OLD, {})]
)
def test_the_first_verdict_is_told_where_the_bank_told_it(
    reader: FactReader, schema: int, first: dict[str, str]
) -> None:
    one = {"offset": 3, "transfer_id": uuid4().bytes, "verdict": "EXISTS", **first}
    record = {"emitter": EMITTER, "partition": 0, "results": [one]}
    (((_, verdicts, firsts),),) = reader.read(
        [message("results", avro(schema, record))]
    ).results.values()
    assert verdicts == [VERDICTS.names.index("EXISTS")]
    assert firsts == [VERDICTS.names.index(first.get("first_verdict", "UNKNOWN"))]
