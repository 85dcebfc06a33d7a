"""`once doctor` names all that cannot keep the promise, and what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import httpx
import psycopg
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from local.deadline import Patience
from local.platform import Platform
from local.stack import Stack
from once.doctor import postgres
from once.doctor.kafka import Role, require_fit, unfit_topics
from once.doctor.postgres import check_postgres
from once.doctor.report import Finding, Level
from once.errors import Defect, Refused, Retriable
from tests.fix_platform import a_platform
from tests.integration.pooler import a_pooler

pytestmark = pytest.mark.stack

SECONDS = 30.0


@pytest.fixture(scope="module")
def healthy(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform that each test leaves as it was."""
    with a_platform(stack, tmp_path_factory.mktemp("doctor")) as platform:
        yield platform


def doctor(
    platform: Platform, **settings: str
) -> tuple[int, dict[str, Mapping[str, str]]]:
    """The exit status, and what is worse than good, by its check."""
    done = subprocess.run(
        [sys.executable, "-m", "once", "doctor", "--json"],
        env={**os.environ, **platform.environment(), **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    findings = json.loads(done.stdout)
    bad = {each["check"]: each for each in findings if each["level"] != Level.GOOD}
    return done.returncode, bad


@contextmanager
def configured(platform: Platform, topic: str, **changed: str) -> Iterator[None]:
    """A topic with other settings, `_` for each dot in their names."""
    admin = platform.admin()

    def alter(operation: AlterConfigOpType) -> None:
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=operation)
            for name, value in changed.items()
        ]
        asked = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        admin.incremental_alter_configs([asked])[asked].result(SECONDS)

    def told() -> bool:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        now = admin.describe_configs([resource])[resource].result(SECONDS)
        seen = {name: now[name.replace("_", ".")].value for name in changed}
        return seen == changed

    alter(AlterConfigOpType.SET)
    try:
        Patience().wait_until(told, what="the brokers to know", timeout_s=SECONDS)
        yield
    finally:
        for name in changed:
            # Back to how it was made, not to the default.
            changed[name] = {
                "min_insync_replicas": "2",
                "cleanup_policy": "delete",
                "message_timestamp_type": "LogAppendTime",
                "retention_ms": "604800000",
                "retention_bytes": "-1",
                "max_message_bytes": "1048588",
                "unclean_leader_election_enable": "false",
            }[name]
        alter(AlterConfigOpType.SET)
        Patience().wait_until(told, what="the brokers to know", timeout_s=SECONDS)


def test_a_platform_as_we_make_it_is_healthy(healthy: Platform) -> None:
    assert doctor(healthy) == (0, {})


def test_people_get_a_table(healthy: Platform) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "once", "doctor"],
        env={**os.environ, **healthy.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    for check in (f"topic {healthy.topic}", "Postgres server", "migrations"):
        assert check in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("setting", "value", "level"),
    [
        ("cleanup_policy", "compact", Level.REFUSED),
        ("cleanup_policy", "compact,delete", Level.REFUSED),
        ("min_insync_replicas", "1", Level.REFUSED),
        ("unclean_leader_election_enable", "true", Level.REFUSED),
        ("max_message_bytes", "100000", Level.DEFECT),
        ("min_insync_replicas", "3", Level.WARNING),
        ("message_timestamp_type", "CreateTime", Level.WARNING),
        ("retention_ms", "3600000", Level.WARNING),
        ("retention_bytes", "1000000", Level.WARNING),
    ],
)
def test_a_topic_that_would_lose_records_is_found(
    healthy: Platform, setting: str, value: str, level: Level
) -> None:
    roles = {healthy.topic: Role.LOG}
    with configured(healthy, healthy.topic, **{setting: value}):
        (finding,) = unfit_topics(healthy.admin(), roles)
    name = setting.replace("_", ".")
    assert finding.check == f"topic {healthy.topic}: {name}"
    assert finding.level is level
    assert finding.found.startswith(value)
    assert f"--add-config {name}=" in finding.cure
    assert unfit_topics(healthy.admin(), roles) == []


def test_results_are_kept_as_long_as_the_log(healthy: Platform) -> None:
    roles = {healthy.topic: Role.LOG, healthy.results_topic: Role.RESULTS}
    with configured(healthy, healthy.topic, retention_ms="-1"):
        (finding,) = unfit_topics(healthy.admin(), roles)
    assert finding.check == f"topic {healthy.results_topic}: retention.ms"
    assert finding.cure.endswith("--add-config retention.ms=-1")


def test_a_program_starts_with_fit_topics_only(healthy: Platform) -> None:
    admin, roles = healthy.admin(), {healthy.topic: Role.LOG}
    assert require_fit(admin, roles) == []
    with configured(healthy, healthy.topic, message_timestamp_type="CreateTime"):
        assert [each.level for each in require_fit(admin, roles)] == [Level.WARNING]
    with (
        configured(healthy, healthy.topic, cleanup_policy="compact"),
        pytest.raises(Refused, match=r"cleanup.policy: compact \(wanted: delete\); "),
    ):
        require_fit(admin, roles)
    with (
        configured(healthy, healthy.topic, max_message_bytes="100000"),
        pytest.raises(Defect, match="max.message.bytes: 100000 "),
    ):
        require_fit(admin, roles)
    with pytest.raises(Retriable, match="topic no-such-topic: missing "):
        require_fit(admin, {**roles, "no-such-topic": Role.RESULTS})
    away = AdminClient({"bootstrap.servers": "127.0.0.1:9", "log_level": 2})
    with pytest.raises(Retriable, match="while asking for brokers: "):
        require_fit(away, roles)


def test_one_replica_of_three_brokers_is_refused(stack: Stack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap_servers})
    name = f"doctor-{uuid4().hex[:8]}"
    alone = NewTopic(name, 1, 1, config={"message.timestamp.type": "LogAppendTime"})
    admin.create_topics([alone])[name].result(SECONDS)
    try:
        (finding,) = unfit_topics(admin, {name: Role.LOG})
    finally:
        admin.delete_topics([name])[name].result(SECONDS)
    assert (finding.check, finding.level) == (f"topic {name}: replicas", Level.REFUSED)


def test_all_that_is_missing_is_named_at_once(healthy: Platform) -> None:
    status, bad = doctor(healthy, ONCE_TOPIC="no-such", ONCE_RESULTS_TOPIC="nor-this")
    assert status == 78
    names = ["no-such", "nor-this"]
    assert list(bad) == [
        *(f"topic {name}" for name in names),
        *(f"subject {name}-value" for name in names),
    ]
    assert {each["level"] for each in bad.values()} == {Level.DEFECT}


def test_each_part_that_is_away_is_one_finding(healthy: Platform) -> None:
    status, bad = doctor(
        healthy,
        ONCE_BOOTSTRAP_SERVERS="127.0.0.1:9",
        ONCE_REGISTRY_URL="http://127.0.0.1:9",
        ONCE_DOCTOR_CONNINFO="host=127.0.0.1 port=9 user=audit dbname=ledger",
    )
    assert status == 78
    assert list(bad) == ["Kafka", "registry", "Postgres"]
    assert "no broker can be reached" in bad["Kafka"]["found"] or (
        "a broker cannot be reached" in bad["Kafka"]["found"]
    )


def test_a_wrong_property_of_the_client_is_a_finding(healthy: Platform) -> None:
    status, bad = doctor(healthy, ONCE_KAFKA='{"ssl.ca.locatoin": "/x"}')
    assert status == 78
    assert 'No such configuration property: "ssl.ca.locatoin"' in bad["Kafka"]["found"]


def test_a_subject_that_anybody_may_break_is_a_warning(healthy: Platform) -> None:
    subject = f"{healthy.topic}-value"
    config = f"{healthy.stack.endpoints.registry_url}/config/{subject}"
    httpx.put(config, json={"compatibility": "NONE"}).raise_for_status()
    try:
        status, bad = doctor(healthy)
    finally:
        back = {"compatibility": "FULL_TRANSITIVE"}
        httpx.put(config, json=back).raise_for_status()
    assert status == 0
    assert bad[f"subject {subject}"]["found"] == "NONE"


# -- Postgres -------------------------------------------------------------------------


def examined(platform: Platform, role: str = "migrator") -> list[Finding]:
    found = check_postgres(platform.conninfo(role))
    return [each for each in found if each.level is not Level.GOOD]


@contextmanager
def changed(platform: Platform, user: str, there: str, back: str) -> Iterator[None]:
    """Something in the ledger's database, and back again."""
    conninfo = platform.stack.conninfo(user=user, dbname=platform.dbname)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(there.encode())
        try:
            yield
        finally:
            connection.execute(back.encode())


@pytest.mark.parametrize("role", ["migrator", "audit", "bank"])
def test_any_role_may_look(healthy: Platform, role: str) -> None:
    assert examined(healthy, role) == []


@pytest.mark.parametrize(
    ("setting", "value", "level"),
    [
        ("client_encoding", "latin1", Level.REFUSED),
        ("default_transaction_isolation", "repeatable read", Level.REFUSED),
        ("synchronous_commit", "local", Level.REFUSED),
        ("session_replication_role", "replica", Level.REFUSED),
        ("statement_timeout", "5s", Level.WARNING),
        ("idle_session_timeout", "60000", Level.WARNING),
    ],
)
def test_what_waits_for_a_role_or_in_a_database_is_found(
    healthy: Platform, setting: str, value: str, level: Level
) -> None:
    database = f'"{healthy.dbname}"'
    for target, whose in (
        (f"ROLE bank IN DATABASE {database}", f"role bank in database {database}"),
        (f"DATABASE {database}", f"database {database}"),
    ):
        there = f"ALTER {target} SET {setting} = '{value}'"
        with changed(healthy, "postgres", there, f"ALTER {target} RESET {setting}"):
            bad = {each.check: each for each in examined(healthy)}
        finding = bad[f"{setting} of {whose}"]
        assert finding.level is level
        assert finding.cure == f"ALTER {target} RESET {setting}"


def test_a_database_in_which_nothing_can_be_written_is_no_primary(
    healthy: Platform,
) -> None:
    target = f'DATABASE "{healthy.dbname}"'
    there = f"ALTER {target} SET default_transaction_read_only = on"
    back = f"ALTER {target} RESET default_transaction_read_only"
    with changed(healthy, "postgres", there, back):
        status, bad = doctor(healthy)
    assert status == 78
    assert list(bad) == ["Postgres"]
    assert "session is read-only" in bad["Postgres"]["found"]


def test_what_is_harmless_is_no_finding(healthy: Platform) -> None:
    target = f'ROLE bank IN DATABASE "{healthy.dbname}"'
    for setting in ("statement_timeout = 0", "client_encoding = 'utf-8'"):
        there = f"ALTER {target} SET {setting}"
        with changed(healthy, "postgres", there, f"ALTER {target} RESET ALL"):
            assert examined(healthy) == []


def test_a_ledger_without_open_accounts_is_a_warning(healthy: Platform) -> None:
    with changed(
        healthy,
        "migrator",
        "UPDATE accounts SET status = 'frozen'",
        "UPDATE accounts SET status = 'open'",
    ):
        (finding,) = examined(healthy)
    assert (finding.check, finding.level) == ("accounts", Level.WARNING)


def test_a_limit_that_arithmetic_cannot_bear_is_refused(healthy: Platform) -> None:
    # A later migration may forbid it: then there is nothing left to find.
    limit = "UPDATE accounts SET credit_limit = {} WHERE account = 1"
    with changed(
        healthy, "migrator", limit.format(9223372036854775807), limit.format(1_000_000)
    ):
        (finding,) = examined(healthy)
    assert (finding.check, finding.level) == ("account 1", Level.REFUSED)


def test_migrations_are_compared_with_ours(healthy: Platform) -> None:
    def said(there: str, back: str) -> Finding:
        with changed(healthy, "migrator", there, back):
            (finding,) = examined(healthy)
        assert finding.check == "migrations"
        return finding

    first = "0001_ledger.sql"
    renamed = "UPDATE schema_migrations SET name = '{}' WHERE name = '{}'"
    with changed(
        healthy,
        "migrator",
        renamed.format("9999_x.sql", first),
        renamed.format(first, "9999_x.sql"),
    ):
        missing, foreign = examined(healthy)
    assert (missing.found, missing.level) == (f"missing: {first}", Level.DEFECT)
    assert (foreign.found, foreign.level) == (
        "unknown here: 9999_x.sql",
        Level.WARNING,
    )
    turned = "UPDATE schema_migrations SET checksum = reverse(checksum)"
    finding = said(turned, turned)
    assert finding.level is Level.REFUSED
    assert "changed after they were applied: 0001_ledger.sql, " in finding.found


def test_an_empty_database_lacks_its_migrations(healthy: Platform) -> None:
    conninfo = healthy.stack.conninfo(user="migrator", dbname="postgres")
    found = {each.check: each for each in check_postgres(conninfo)}
    assert found["migrations"].level is Level.DEFECT
    assert "0001_ledger.sql" in found["migrations"].found
    assert "run the migrations" in found["accounts"].found


def test_a_pooler_in_between_is_a_defect(healthy: Platform) -> None:
    stack = healthy.stack
    leader = stack.postgres.leader()
    assert leader is not None
    with a_pooler("127.0.0.1", stack.endpoints.ports[leader]) as port:
        given = conninfo_to_dict(healthy.conninfo("migrator"))
        through = {**given, "host": "127.0.0.1", "port": port, "sslmode": "disable"}
        found = list(check_postgres(make_conninfo("", **through)))
    (finding,) = (each for each in found if each.level is not Level.GOOD)
    assert (finding.check, finding.level) == ("Postgres connection", Level.DEFECT)
    assert finding.found == "a pooler in between"


def test_a_program_starts_with_a_fit_connection_only(healthy: Platform) -> None:
    conninfo = healthy.conninfo("bank")
    with psycopg.connect(conninfo) as connection:
        # What a session sets itself is its own affair.
        connection.execute("SET idle_in_transaction_session_timeout = '15s'")
        assert postgres.require_fit(connection) == []
    for target in ("DATABASE", "ROLE bank IN DATABASE"):
        target = f'{target} "{healthy.dbname}"'
        there = f"ALTER {target} SET default_transaction_isolation = serializable"
        with (
            changed(healthy, "postgres", there, f"ALTER {target} RESET ALL"),
            psycopg.connect(conninfo) as connection,
            pytest.raises(Refused, match="default_transaction_isolation: serializable"),
        ):
            postgres.require_fit(connection)
    with psycopg.connect(conninfo, options="-c lock_timeout=9") as connection:
        (finding,) = postgres.require_fit(connection)
        assert finding.check == "lock_timeout"
    connection.close()
    with pytest.raises(Retriable):
        postgres.require_fit(connection)


def test_no_secret_is_told(healthy: Platform) -> None:
    where = "host=127.0.0.1 port=9 user=audit password=hunter2 dbname=ledger"
    for broken in (where, f"{where} and nonsense", "postgresql://u:hunter2@[::/x"):
        status, bad = doctor(healthy, ONCE_DOCTOR_CONNINFO=broken)
        assert status == 78
        assert "hunter2" not in json.dumps(bad)
