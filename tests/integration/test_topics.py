"""`once topics` makes topics as they must be; where one differs, it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from local.stack import Stack
from once.topics import look

pytestmark = pytest.mark.stack

SECONDS = 30.0
AS_ASKED = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2",
}


@pytest.fixture
def admin(stack: Stack) -> AdminClient:
    return AdminClient({"bootstrap.servers": stack.endpoints.bootstrap_servers})


@pytest.fixture
def name(admin: AdminClient) -> Iterator[str]:
    """A topic that is not there yet; removed in the end."""
    name = f"topics-{uuid4().hex[:8]}"
    yield name
    admin.delete_topics([name])[name].exception(SECONDS)


def create(admin: AdminClient, new: NewTopic) -> None:
    admin.create_topics([new])[new.topic].result(SECONDS)


def run(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m once topics`."""
    servers = stack.endpoints.bootstrap_servers
    return subprocess.run(
        [sys.executable, "-m", "once", "topics", *arguments],
        env={**os.environ, "ONCE_BOOTSTRAP_SERVERS": servers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_topic_is_made_as_it_must_be_and_then_left_alone(
    stack: Stack, admin: AdminClient, name: str
) -> None:
    made = run(stack, f"{name}=2")
    assert (made.returncode, made.stdout) == (0, f"{name} created\n"), made.stderr
    found = look(admin, [name])[name]
    assert (found.partitions, found.replication) == (2, 3)
    assert found.config is not None
    assert {key: found.config[key] for key in AS_ASKED} == AS_ASKED
    again = run(stack, f"{name}=2")
    assert (again.returncode, again.stdout) == (0, f"{name} was there, as asked\n")


def test_a_topic_that_a_client_made_by_asking_for_it_is_refused(
    stack: Stack, admin: AdminClient, name: str
) -> None:
    create(admin, NewTopic(name, 1, 1, config={"min.insync.replicas": "1"}))
    done = run(stack, f"{name}=6")
    assert done.returncode == 65
    assert done.stdout == ""
    *sentences, last = done.stderr.splitlines()
    assert [sentence.partition("; ")[0] for sentence in sentences] == [
        f"topic {name}: the number of partitions is 1, not 6",
        f"topic {name}: the replication factor is 1, not 3",
        f"topic {name}: message.timestamp.type is CreateTime, not LogAppendTime",
        f"topic {name}: min.insync.replicas is 1, not 2",
    ]
    assert last == f"Refused: not as asked, and left as it is: {name}"


def test_what_differs_comes_with_its_cure(
    stack: Stack, admin: AdminClient, name: str
) -> None:
    wrong = {**AS_ASKED, "cleanup.policy": "compact", "max.message.bytes": "100000"}
    create(admin, NewTopic(name, 3, 3, config=wrong))
    done = run(stack, f"{name}=2")
    assert done.returncode == 65
    alter = f"kafka-configs --alter --entity-type topics --entity-name {name}"
    assert done.stderr.splitlines()[:-1] == [
        f"topic {name}: the number of partitions is 3, not 2; "
        "ask for 3: partitions cannot be taken away",
        f"topic {name}: cleanup.policy is compact, not delete; "
        f"{alter} --add-config cleanup.policy=delete",
        f"topic {name}: max.message.bytes is 100000, not 1048576 or more; "
        f"{alter} --add-config max.message.bytes=1048576",
    ]


def test_looking_at_a_topic_does_not_make_it(admin: AdminClient, name: str) -> None:
    assert look(admin, [name]) == {}
    assert name not in admin.list_topics(timeout=SECONDS).topics


def test_more_replicas_than_brokers_are_said_to_be_too_many(
    stack: Stack, name: str
) -> None:
    done = run(stack, f"{name}=1", "--replication", "9")
    assert done.returncode == 78
    assert done.stderr.startswith(f"Defect: while creating topic {name}: ")
    assert len(done.stderr.splitlines()) == 1
