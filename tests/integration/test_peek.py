"""Peek on a real log: committed, aborted and open records shown as what they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumers.console.peek import Request, peek
from consumers.console.reader import GROUP
from consumers.console.states import Sighting, State
from local.stack import Stack
from once import resources
from once.headers import UNREADABLE
from once.registry import Registry, load_schema
from tests.integration.raw_headers import send
from tests.samples import PYTHON

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
SECONDS = 30.0


@pytest.fixture
def admin(stack: Stack) -> AdminClient:
    return AdminClient({"bootstrap.servers": stack.endpoints.bootstrap_servers})


@pytest.fixture
def topic(admin: AdminClient) -> Iterator[str]:
    """A topic of one partition."""
    name = f"peek-{uuid4().hex[:8]}"
    replicas = len(admin.list_topics(timeout=SECONDS).brokers)
    for made in admin.create_topics([NewTopic(name, 1, replicas)]).values():
        made.result(SECONDS)
    yield name
    for gone in admin.delete_topics([name]).values():
        gone.result(SECONDS)


@pytest.fixture
def kafka(stack: Stack) -> dict[str, str]:
    return {"bootstrap.servers": stack.endpoints.bootstrap_servers}


def sender(kafka: dict[str, str], name: str) -> Producer:
    producer = Producer({**kafka, "transactional.id": f"{name}-{uuid4().hex[:8]}"})
    producer.init_transactions(SECONDS)
    return producer


def open_transaction(producer: Producer, topic: str, *values: str) -> None:
    """Begin a Kafka transaction and have these records in the log."""
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(SECONDS) == 0


def run(
    stack: Stack, *arguments: str, kafka: str = "{}"
) -> subprocess.CompletedProcess[str]:
    """`python -m consumers.console peek`, writing to a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "consumers.console", "peek", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PEEK_BOOTSTRAP_SERVERS": stack.endpoints.bootstrap_servers,
            "PEEK_REGISTRY_URL": stack.endpoints.registry_url,
            "PEEK_KAFKA": kafka,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def shown(stack: Stack, topic: str, *arguments: str) -> list[dict[str, Any]]:
    """The whole log of a topic, as JSON says it."""
    done = run(stack, topic, "--from", "beginning", "--no-follow", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def states(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (bytes.fromhex(line["value_hex"]).decode(), line["state"]) for line in lines
    ]


def test_committed_aborted_and_open_records_are_told_apart(
    stack: Stack, kafka: dict[str, str], topic: str
) -> None:
    one, other = sender(kafka, "one"), sender(kafka, "other")
    open_transaction(one, topic, "a", "b")
    one.commit_transaction(SECONDS)
    open_transaction(one, topic, "c", "d")
    one.abort_transaction(SECONDS)
    open_transaction(other, topic, "e")
    open_transaction(one, topic, "f")
    one.commit_transaction(SECONDS)

    decided = [
        ("a", "committed"),
        ("b", "committed"),
        ("c", "aborted"),
        ("d", "aborted"),
    ]
    # f is committed, but no reader of committed records gets past e.
    assert states(shown(stack, topic)) == [*decided, ("e", "open"), ("f", "open")]
    assert states(shown(stack, topic, "--count", "3")) == decided[:3]

    other.abort_transaction(SECONDS)
    assert states(shown(stack, topic)) == [
        *decided,
        ("e", "aborted"),
        ("f", "committed"),
    ]


def word(sighting: Sighting[Message]) -> tuple[str, State, bool]:
    return (
        str((sighting.record.value() or b"").decode()),
        sighting.state,
        sighting.again,
    )


def test_following_shows_an_open_record_and_then_what_became_of_it(
    kafka: dict[str, str], topic: str
) -> None:
    producer = sender(kafka, "follow")
    open_transaction(producer, topic, "early")
    producer.commit_transaction(SECONDS)
    open_transaction(producer, topic, "a")
    following = peek(kafka, Request(topic, start=-2))
    assert word(next(following)) == ("a", State.OPEN, False)
    producer.commit_transaction(SECONDS)
    assert word(next(following)) == ("a", State.COMMITTED, True)
    open_transaction(producer, topic, "b")
    assert word(next(following)) == ("b", State.OPEN, False)
    producer.abort_transaction(SECONDS)
    assert word(next(following)) == ("b", State.ABORTED, True)
    following.close()  # type: ignore[attr-defined]


def test_a_count_alone_shows_the_newest_and_waits_for_nothing(
    stack: Stack, kafka: dict[str, str], topic: str
) -> None:
    producer = sender(kafka, "one")
    for value in "abc":
        open_transaction(producer, topic, value)
        producer.commit_transaction(SECONDS)
    done = run(stack, topic, "--count", "2")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert states(lines) == [("b", "committed"), ("c", "committed")]


def test_peeking_leaves_no_group_behind(
    stack: Stack, admin: AdminClient, topic: str
) -> None:
    assert shown(stack, topic) == []
    groups = admin.list_consumer_groups(request_timeout=SECONDS).result().valid or []
    assert GROUP not in {group.group_id for group in groups}


def test_the_example_of_the_contract_sends_what_peek_shows(
    stack: Stack, topic: str, tmp_path: Path
) -> None:
    registry = Registry(stack.endpoints.registry_url)
    schema = load_schema(resources.find("avro/transfer.avsc"))
    schema_id = registry.register(f"{topic}-value", schema)
    registry.close()
    done = subprocess.run(
        [*PYTHON, str(tmp_path / "order.json"), "1", "2", "1999"],
        env={
            **os.environ,
            "BOOTSTRAP_SERVERS": stack.endpoints.bootstrap_servers,
            "REGISTRY_URL": stack.endpoints.registry_url,
            "TOPIC": topic,
            "RESULTS_TOPIC": topic,  # where nobody answers
            "RESULT_SECONDS_MAX": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"acknowledged: {topic}[0]@0\n" in done.stdout
    # A fresh coordinator is waited for, and the client says so.
    waited = "Coordinator load in progress"
    assert [line for line in done.stderr.splitlines() if waited not in line] == []
    (line,) = shown(stack, topic)
    assert (line["key"], line["state"], line["schema_id"]) == (
        "1",
        "committed",
        schema_id,
    )
    assert line["schema"] == "once.payments.Transfer"
    assert line["value"]["currency"] == "EUR"
    assert line["value"]["amount"] == 1999
    assert line["value"]["emitter"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-topic"], "topic no-such-topic: "),
        (["{topic}", "--partition", "7"], "has no partition 7; it has 0 to 0"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(
    stack: Stack, topic: str, arguments: list[str], sentence: str
) -> None:
    done = run(stack, *(argument.format(topic=topic) for argument in arguments))
    assert done.returncode == 78
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("kafka", "status", "sentence"),
    [
        (
            '{"ssl.ca.locatoin": "/x"}',
            78,
            "Defect: the settings of the Kafka client are wrong: No such configuration "
            'property: "ssl.ca.locatoin"',
        ),
        (
            '{"security.protocol": "SSL"}',
            70,
            "(the TLS handshake fails: ssl://",
        ),
        (
            '{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", '
            '"sasl.username": "me", "sasl.password": "secret"}',
            70,
            "SASL",
        ),
    ],
)
def test_what_is_wrong_with_the_connection_is_named(
    stack: Stack, topic: str, kafka: str, status: int, sentence: str
) -> None:
    done = run(stack, topic, "--no-follow", kafka=kafka)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_a_header_whose_name_is_no_text_is_shown_as_unreadable(
    stack: Stack, topic: str
) -> None:
    servers = stack.endpoints.bootstrap_servers
    send(servers, topic, b"a", [(b"fine", b"1"), (b"\xff", b"2")])
    send(servers, topic, b"b", [(b"fine", b"1"), (b"none", None)])
    assert [line["headers"] for line in shown(stack, topic)] == [
        [[UNREADABLE, None]],
        [["fine", "1"], ["none", None]],
    ]


ASK_OFTEN = """
import sys
from consumers.console.peek import Request, peek
from once.headers import headers_of
records = [
    sighting.record
    for sighting in peek(
        {"bootstrap.servers": sys.argv[1]},
        Request(sys.argv[2], start="beginning", follow=False),
    )
]
for _ in range(3):
    for record in records:
        print(headers_of(record))
"""


def test_headers_that_cannot_be_read_end_no_process_that_has_read_many(
    stack: Stack, kafka: dict[str, str], topic: str
) -> None:
    producer = Producer(kafka)
    for _ in range(100):
        producer.produce(topic, b"a", headers=[("fine", b"1")])
    assert producer.flush(SECONDS) == 0
    servers = stack.endpoints.bootstrap_servers
    for _ in range(3):
        send(servers, topic, b"a", [(b"fine", b"1"), (b"\xff", b"2")])
    done = subprocess.run(
        [sys.executable, "-c", ASK_OFTEN, servers, topic],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    once = 100 * ["[('fine', b'1')]"] + 3 * [str([(UNREADABLE, None)])]
    assert done.stdout.splitlines() == 3 * once


def test_an_offset_that_the_log_no_longer_holds_is_the_first_it_holds(
    stack: Stack, kafka: dict[str, str], topic: str, admin: AdminClient
) -> None:
    producer = sender(kafka, "deleted")
    open_transaction(producer, topic, "a", "b", "c")
    producer.commit_transaction(SECONDS)
    place = TopicPartition(topic, 0, 2)
    admin.delete_records([place])[place].result(SECONDS)
    done = run(stack, topic, "--from", "0", "--no-follow", "--partition", "0")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert states(lines) == [("c", "committed")]
