"""`once doctor` names all that cannot keep the promise, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from uuid import uuid4

import httpx
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from local.platform import Platform
from local.platform.environments import for_program
from local.processes.waiting import wait_until
from local.stack import Stack
from once.doctor.kafka import MISSING, Role, require_fit, unfit_topics
from once.doctor.report import Finding, Level
from once.errors import Defect, Refused, Retriable
from once.topics import config_of
from tests.integration.doctoring import doctor

pytestmark = pytest.mark.stack

SECONDS = 30.0


AS_MADE = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "unclean.leader.election.enable": "false",
}


@contextmanager
def configured(platform: Platform, topic: str, **changed: str) -> Iterator[None]:
    """A topic with other settings, `_` for each dot in their names; then as made."""
    config = {name.replace("_", "."): value for name, value in changed.items()}
    configure(platform, topic, config)
    try:
        yield
    finally:
        configure(platform, topic, {name: AS_MADE[name] for name in config})


def configure(platform: Platform, topic: str, config: Mapping[str, str]) -> None:
    """Set it, and wait until every broker knows: any of them may be asked next."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    admin = platform.admin()
    asked = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([asked])[asked].result(SECONDS)
    # A client that was told of one broker, and needs no other, stays with that one.
    servers = platform.stack.endpoints.bootstrap_servers.split(",")
    each_broker = [AdminClient({"bootstrap.servers": one}) for one in servers]
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def told() -> bool:
        return all(
            {**(config_of(broker, resource) or {}), **config}
            == config_of(broker, resource)
            for broker in each_broker
        )

    wait_until(told, what="all brokers to know", timeout_seconds=SECONDS)


def test_a_platform_as_we_make_it_is_healthy(whole: Platform) -> None:
    assert doctor(whole) == (0, {})


def test_people_get_a_table(whole: Platform) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "once", "doctor"],
        env=for_program(["once", "doctor"], {**os.environ, **whole.environment()}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    for check in (f"topic {whole.topic}", "Postgres server", "migrations"):
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
    whole: Platform, setting: str, value: str, level: Level
) -> None:
    roles = {whole.topic: Role.LOG}
    with configured(whole, whole.topic, **{setting: value}):
        (finding,) = unfit_topics(whole.admin(), roles)
    name = setting.replace("_", ".")
    assert finding.check == f"topic {whole.topic}: {name}"
    assert finding.level is level
    assert finding.found.startswith(value)
    assert f"--add-config {name}=" in finding.cure
    assert unfit_topics(whole.admin(), roles) == []


def test_results_are_kept_as_long_as_the_log(whole: Platform) -> None:
    roles = {whole.topic: Role.LOG, whole.results_topic: Role.RESULTS}
    with configured(whole, whole.topic, retention_ms="-1"):
        (finding,) = unfit_topics(whole.admin(), roles)
    assert finding.check == f"topic {whole.results_topic}: retention.ms"
    assert finding.cure.endswith("--add-config retention.ms=-1")


def test_a_program_starts_with_fit_topics_only(whole: Platform) -> None:
    admin, roles = whole.admin(), {whole.topic: Role.LOG}
    assert require_fit(admin, roles) == []
    with configured(whole, whole.topic, message_timestamp_type="CreateTime"):
        assert [each.level for each in require_fit(admin, roles)] == [Level.WARNING]
    with (
        configured(whole, whole.topic, cleanup_policy="compact"),
        pytest.raises(Refused, match=r"cleanup.policy: compact \(wanted: delete\); "),
    ):
        require_fit(admin, roles)
    with (
        configured(whole, whole.topic, max_message_bytes="100000"),
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
    found: list[Finding] = []

    def known() -> bool:
        with suppress(Retriable):  # one broker knows it, and another does not yet
            found[:] = unfit_topics(admin, {name: Role.LOG})
        return bool(found) and found[0].found != MISSING

    try:
        wait_until(known, what=f"topic {name}", timeout_seconds=SECONDS)
        (finding,) = found
    finally:
        admin.delete_topics([name])[name].result(SECONDS)
    assert (finding.check, finding.level) == (f"topic {name}: replicas", Level.REFUSED)


def test_all_that_is_missing_is_named_at_once(whole: Platform) -> None:
    status, bad = doctor(whole, ONCE_TOPIC="no-such", ONCE_RESULTS_TOPIC="nor-this")
    assert status == 78
    names = ["no-such", "nor-this"]
    assert list(bad) == [
        *(f"topic {name}" for name in names),
        *(f"subject {name}-value" for name in names),
        "subject no-such-once.payments.AccountChange",
    ]
    assert {each["level"] for each in bad.values()} == {Level.DEFECT}


def test_each_part_that_is_away_is_one_finding(whole: Platform) -> None:
    status, bad = doctor(
        whole,
        ONCE_BOOTSTRAP_SERVERS="127.0.0.1:9",
        ONCE_REGISTRY_URL="http://127.0.0.1:9",
        ONCE_DOCTOR_CONNINFO="host=127.0.0.1 port=9 user=audit dbname=ledger",
    )
    assert status == 78
    assert list(bad) == ["Kafka", "registry", "Postgres"]
    assert "no broker can be reached" in bad["Kafka"]["found"] or (
        "a broker cannot be reached" in bad["Kafka"]["found"]
    )


def test_a_wrong_property_of_the_client_is_a_finding(whole: Platform) -> None:
    status, bad = doctor(whole, ONCE_KAFKA='{"ssl.ca.locatoin": "/x"}')
    assert status == 78
    assert 'No such configuration property: "ssl.ca.locatoin"' in bad["Kafka"]["found"]


def test_a_subject_that_anybody_may_break_is_a_warning(whole: Platform) -> None:
    subject = f"{whole.topic}-value"
    config = f"{whole.stack.endpoints.registry_url}/config/{subject}"
    httpx.put(config, json={"compatibility": "NONE"}).raise_for_status()
    try:
        status, bad = doctor(whole)
    finally:
        back = {"compatibility": "FULL_TRANSITIVE"}
        httpx.put(config, json=back).raise_for_status()
    assert status == 0
    assert bad[f"subject {subject}"]["found"] == "NONE"
