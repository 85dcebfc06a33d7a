"""Starting and stopping: nothing is left behind, and nothing that matters is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from local.processes.errors import StackError
from local.processes.waiting import wait_until
from local.stack import Stack, StackConfig
from tests.stack.conftest import ROOT, LeftOver

pytestmark = pytest.mark.stack

# What `make up` runs, for a stack of this size.
START = """
import sys
from pathlib import Path
from local.stack import Stack, StackConfig
state, jars = map(Path, sys.argv[1:])
stack = Stack(StackConfig(state_dir=state, jars_dir=jars, brokers=1, postgres=1))
with stack:
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(config: StackConfig) -> Iterator[subprocess.Popen[str]]:
    """Another Python that starts the stack and then waits inside the with-form."""
    command = [sys.executable, "-c", START, str(config.state_dir), str(config.jars_dir)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield process
        process.kill()


def kafka_settings(stack: Stack) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": stack.endpoints.bootstrap_servers}


def make_topic_and_row(stack: Stack) -> None:
    servers = kafka_settings(stack)
    topic = NewTopic("kept", num_partitions=1, replication_factor=1)
    admin = AdminClient(servers)
    admin.create_topics([topic])["kept"].result(30)
    producer = Producer(servers)
    producer.produce("kept", b"record")
    assert producer.flush(30) == 0
    with psycopg.connect(stack.conninfo(user="migrator")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def assert_kept(stack: Stack) -> None:
    servers = kafka_settings(stack)
    assert "kept" in AdminClient(servers).list_topics(timeout=30).topics
    with psycopg.connect(stack.conninfo(user="migrator")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_data_and_ports_survive_a_stop_and_a_power_cut(
    config: StackConfig, left_over: LeftOver
) -> None:
    with Stack(config) as stack:
        ports = stack.endpoints.ports
        make_topic_and_row(stack)
    assert left_over.after_a_moment() == []

    with Stack(config) as stack:
        assert stack.endpoints.ports == ports
        assert_kept(stack)
        for process in stack.processes.values():
            process.kill()

    with Stack(config) as stack:
        assert_kept(stack)


def test_a_start_that_fails_leaves_nothing_running(
    config: StackConfig, left_over: LeftOver
) -> None:
    # Data of a Postgres that never was: the server refuses it.
    data = config.state_dir / "data" / "postgres-1" / "data"
    data.mkdir(parents=True, mode=0o700)
    (data / "PG_VERSION").write_text("1\n")
    with pytest.raises(StackError, match="postgres-1 stopped by itself"):
        Stack(config).start()
    assert left_over.after_a_moment() == []


def test_nothing_is_left_when_the_parent_is_killed(
    parent: subprocess.Popen[str], left_over: LeftOver
) -> None:
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    assert left_over.now() != []
    parent.kill()
    assert left_over.after_a_moment() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_a_start_is_interrupted(
    config: StackConfig, left_over: LeftOver, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "local", "up", "--brokers=1", "--postgres=1"]
    command += [f"--state-dir={config.state_dir}", f"--jars-dir={config.jars_dir}"]
    log = config.state_dir / "logs" / "kafka-1.log"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as starting:
        wait_until(log.exists, what="the broker's start", timeout_seconds=30)
        starting.send_signal(number)
        assert starting.wait(30) != 0
    assert left_over.after_a_moment() == []


def test_the_command_line_leaves_it_running_until_it_is_told_to_stop(
    config: StackConfig, left_over: LeftOver
) -> None:
    environment = {**os.environ, "ONCE_STATE_DIR": str(config.state_dir)}

    def local(*arguments: str) -> str:
        command = [sys.executable, "-m", "local", *arguments]
        return subprocess.check_output(command, cwd=ROOT, env=environment, text=True)

    try:
        size = ["--brokers=1", "--postgres=1", f"--jars-dir={config.jars_dir}"]
        local("up", *size)
        stack = Stack.attach(config.state_dir)
        pid = stack.processes["kafka-1"].pid
        assert "127.0.0.1" in local("up", *size)  # nothing to do the second time
        assert stack.processes["kafka-1"].pid == pid
        with pytest.raises(StackError, match="a stack runs under"):
            Stack(config).start()
        assert "1 of 1 brokers alive" in local("status")
        asked = "select current_user, current_database()"
        assert "bank|ledger" in local("psql", "--role=bank", "--", "-Atc", asked)
    finally:
        local("down", "--wipe")
    assert left_over.after_a_moment() == []
    assert list(config.state_dir.iterdir()) == []


def test_data_of_another_size_is_not_started_over(config: StackConfig) -> None:
    stack = Stack(config)
    with stack:
        pass
    other = StackConfig(config.state_dir, config.jars_dir, brokers=3, postgres=1)
    with pytest.raises(StackError, match="belongs to 1 brokers and 1 Postgres nodes"):
        Stack(other).start()
    stack.wipe()
    assert not (config.state_dir / "data").exists()


def test_a_stack_that_was_never_started_is_not_attached_to(config: StackConfig) -> None:
    with pytest.raises(StackError, match="no stack was started under .*: run 'make up"):
        Stack.attach(config.state_dir)
