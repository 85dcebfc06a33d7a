"""The three-node stack keeps its promises while parts of it die."""

from __future__ import annotations

import base64
import os
import ssl
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from local.processes.layout import Layout
from local.processes.waiting import wait_until
from local.stack import Stack
from local.stack.etcd import credentials
from local.stack.passwords import LOGIN_ROLES, PATRONI_API
from local.stack.patroni_config import LEASE_SECONDS, LOOP_WAIT_SECONDS
from tests.stack.conftest import ROOT

pytestmark = pytest.mark.stack

SCHEMA = {"schema": '{"type": "record", "name": "kept", "fields": []}'}


@pytest.fixture
def healed(stack: Stack) -> Iterator[Stack]:
    """The session's stack, whole again when the test ends, whatever it broke."""
    yield stack
    for process in stack.processes.values():
        process.resume()
        process.start()
    stack.wait_ready()


@pytest.fixture
def topic(stack: Stack) -> str:
    """A new topic with a partition led by each broker."""
    name = f"stack-{uuid4()}"
    admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap_servers})
    new = NewTopic(name, num_partitions=3, replication_factor=3)
    admin.create_topics([new])[name].result(30)
    return name


@pytest.fixture
def table(stack: Stack) -> Iterator[str]:
    """A new table with one row."""
    name = f"stack_{uuid4().hex}"
    with psycopg.connect(stack.conninfo(user="migrator")) as connection:
        connection.execute(f"CREATE TABLE {name} AS SELECT 1 AS value".encode())
    yield name
    with psycopg.connect(stack.conninfo(user="migrator")) as connection:
        connection.execute(f"DROP TABLE {name}".encode())


def produce_everywhere(stack: Stack, topic: str) -> list[str]:
    """Write to every partition with all replicas; what failed."""
    failed = []
    producer = Producer(
        {
            "bootstrap.servers": stack.endpoints.bootstrap_servers,
            "enable.idempotence": True,
            "delivery.timeout.ms": 40_000,
        }
    )
    for partition in range(3):
        producer.produce(
            topic,
            b"record",
            partition=partition,
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
    assert producer.flush(45) == 0
    return failed


def tool(stack: Stack, name: str, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [ROOT / "bin" / name, *arguments],
        env={"ONCE_STATE_DIR": str(stack.config.state_dir), "PATH": "/usr/bin:/bin"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_login_role_is_there_and_only_the_owner_makes_tables(
    stack: Stack,
) -> None:
    for role in LOGIN_ROLES:
        with psycopg.connect(stack.conninfo(user=role)) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
    with (
        psycopg.connect(stack.conninfo(user="bank")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE mine ()")


def test_a_commit_waits_for_a_standby_and_a_disk(stack: Stack) -> None:
    settings = {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_log_hints": "on",
    }
    with psycopg.connect(stack.conninfo(user="audit")) as connection:
        for name, value in settings.items():
            assert connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)
        row = connection.execute("SHOW synchronous_standby_names").fetchone()
    assert row is not None
    assert row[0] != ""


def test_the_password_file_is_its_owners_alone(stack: Stack) -> None:
    directory = stack.endpoints.state_dir
    assert (directory / "secrets.json").stat().st_mode & 0o777 == 0o600
    secret = stack.conninfo(user="bank").partition("password=")[2].split()[0]
    assert secret not in (directory / "stack.json").read_text()


def test_only_their_owner_reads_what_the_parts_keep(stack: Stack) -> None:
    """A group that may pass, and see nothing, is the most that others have."""
    open_ = []
    for folder, names, files in os.walk(stack.endpoints.state_dir):
        for path in (Path(folder, name) for name in (*names, *files)):
            with suppress(FileNotFoundError):  # it has gone meanwhile
                mode = stat.S_IMODE(path.lstat().st_mode)
                if not path.is_symlink() and mode & 0o077 & ~0o010:
                    open_.append(f"{path} {mode:o}")
    assert open_ == []


def test_the_databases_run_without_a_capability(stack: Stack) -> None:
    names = ["etcd", *(member.name for member in stack.postgres.members())]
    family = [each for name in names for each in stack.processes[name].family()]
    assert len(family) > len(names)
    for process in family:
        with suppress(FileNotFoundError, ProcessLookupError):  # a session's end
            status = Path(f"/proc/{process.pid}/status").read_text()
            for kind in ("CapPrm", "CapEff", "CapAmb"):
                assert f"{kind}:\t{'0' * 16}\n" in status, process


def test_nobody_commands_patroni_without_its_password(stack: Stack) -> None:
    port = stack.endpoints.ports["postgres-1-patroni"]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        assert http.get("/health").is_success
        for method, path in (
            ("PATCH", "/config"),
            ("PUT", "/config"),
            ("POST", "/restart"),
            ("POST", "/switchover"),
            ("DELETE", "/restart"),
        ):
            assert http.request(method, path, json={}).status_code == 401, path
        login = (PATRONI_API, stack.password(PATRONI_API))
        same = {"loop_wait": LOOP_WAIT_SECONDS}
        assert http.patch("/config", json=same, auth=login).is_success


def test_nobody_reads_or_writes_etcd_without_its_certificate(stack: Stack) -> None:
    url = str(stack.endpoints.etcd_url)
    asked = {"key": base64.b64encode(b"/service/once/config").decode()}
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    for where, context in ((url.replace("https", "http"), True), (url, stranger)):
        with httpx.Client(verify=context, trust_env=False) as http:
            try:
                answer = http.post(f"{where}/v3/kv/range", json=asked)
            except httpx.TransportError:
                continue
            assert answer.status_code == 400 and "kvs" not in answer.text
    ours = credentials(Layout(stack.endpoints.state_dir)).context()
    with httpx.Client(verify=ours, trust_env=False) as http:
        assert http.post(f"{url}/v3/kv/range", json=asked).json()["count"] == "1"


def test_the_console_tools_read_and_write_our_topics(stack: Stack, topic: str) -> None:
    assert topic in tool(stack, "kafka-topics", "--list").splitlines()
    tool(stack, "kafka-console-producer", "--topic", topic, stdin="hello\n")
    read = ["--topic", topic, "--from-beginning", "--max-messages", "1"]
    assert tool(stack, "kafka-console-consumer", *read) == "hello\n"
    asked = ["--entity-type", "topics", "--entity-name", topic, "--all"]
    assert "min.insync.replicas=2" in tool(stack, "kafka-configs", "--describe", *asked)
    tool(stack, "kafka-consumer-groups", "--list")
    tool(stack, "kafka-transactions", "list")
    assert "1" in tool(stack, "kafka-get-offsets", "--topic", topic)


def test_acls_are_kept_and_shown_and_do_not_lock_us_out(
    stack: Stack, topic: str
) -> None:
    who = ["--allow-principal", "User:nobody", "--operation", "Read"]
    tool(stack, "kafka-acls", "--add", *who, "--topic", topic)
    assert "User:nobody" in tool(stack, "kafka-acls", "--list", "--topic", topic)
    assert produce_everywhere(stack, topic) == []


def test_topics_are_not_made_by_accident(stack: Stack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap_servers})
    admin.list_topics(topic="by-accident", timeout=10)
    assert "by-accident" not in admin.list_topics(timeout=10).topics


def test_kafka_takes_writes_while_a_broker_is_dead(healed: Stack, topic: str) -> None:
    healed.processes["kafka-2"].kill()
    assert produce_everywhere(healed, topic) == []
    healed.processes["kafka-2"].start()
    healed.kafka.wait_ready()
    assert produce_everywhere(healed, topic) == []


def test_schema_ids_survive_a_kill_of_the_registry(healed: Stack) -> None:
    url = healed.endpoints.registry_url
    subject = f"{url}/subjects/stack-{uuid4()}/versions"
    made = httpx.post(subject, json=SCHEMA).raise_for_status().json()["id"]
    healed.processes["registry"].kill()
    healed.processes["registry"].start()
    healed.registry.wait_ready()
    kept = httpx.get(f"{url}/schemas/ids/{made}").raise_for_status().json()
    assert '"kept"' in kept["schema"]
    assert httpx.post(subject, json=SCHEMA).raise_for_status().json()["id"] == made


def test_the_registry_refuses_what_breaks_full_transitive(stack: Stack) -> None:
    url, subject = stack.endpoints.registry_url, f"stack-{uuid4()}"
    rule = {"compatibility": "FULL_TRANSITIVE"}
    httpx.put(f"{url}/config/{subject}", json=rule).raise_for_status()
    versions = f"{url}/subjects/{subject}/versions"
    httpx.post(versions, json=SCHEMA).raise_for_status()
    field = '{"name": "added", "type": "int"}'
    broken = f'{{"type": "record", "name": "kept", "fields": [{field}]}}'
    assert httpx.post(versions, json={"schema": broken}).status_code == 409


@pytest.mark.nightly  # tests/integration/test_outages.py kills it under load
def test_a_new_primary_has_every_acknowledged_row(healed: Stack, table: str) -> None:
    old = healed.postgres.leader()
    assert old is not None
    healed.processes[old].kill()
    wait_until(
        lambda: healed.postgres.leader() not in (None, old),
        what="another primary",
        timeout_seconds=LEASE_SECONDS + 20,
    )
    healed.postgres.wait_writable()
    with psycopg.connect(healed.conninfo(user="migrator")) as connection:
        query = f"SELECT count(*) FROM {table}".encode()
        assert connection.execute(query).fetchone() == (1,)
        connection.execute(f"INSERT INTO {table} VALUES (2)".encode())
    healed.processes[old].start()
    healed.postgres.wait_ready()
    roles = {member.name: member.role for member in healed.postgres.members()}
    assert roles[old] != "leader"
