"""What a program ends with, at once and in one sentence: status 78 (EX_CONFIG)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until

pytestmark = pytest.mark.stack

DEFECT = 78


def ends(program: Program, timeout_s: float = 60.0) -> tuple[int, str]:
    """Exit status and last words, in one line."""
    status = program.process.wait(timeout_s)
    return status, " ".join(program.text.splitlines()[-1:])


def test_missing_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["BOOTSTRAP_SERVERS", "REGISTRY_URL", "CONNINFO"]
    for name in wanted:
        monkeypatch.delenv(f"BANK_{name}", raising=False)
    with Program(["consumers.bank", "run"], {}, tmp_path / "bank.log") as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    for name in wanted:
        assert f"BANK_{name}" in words


def test_a_setting_that_makes_no_sense_is_named(platform: Platform) -> None:
    with platform.bank(batch_records_max="many", batch_interval_ms=-1) as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "BANK_BATCH_RECORDS_MAX, BANK_BATCH_INTERVAL_MS" in words


@pytest.mark.parametrize(
    ("kafka", "word"),
    [
        ({"ssl.ca.locatoin": "/x"}, "ssl.ca.locatoin"),
        (
            {"security.protocol": "SSL", "ssl.ca.location": "/none"},
            "ssl.ca.location is /none, which is not there",
        ),
    ],
)
def test_a_wrong_setting_of_the_kafka_client_is_named(
    platform: Platform, kafka: dict[str, str], word: str
) -> None:
    with platform.bank(kafka=json.dumps(kafka)) as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert word in words
    settings = {**platform.environment(), "AUDIT_KAFKA": json.dumps(kafka)}
    log = platform.logs / "audit.log"
    with Program(["consumers.bank.audit"], settings, log) as audit:
        status, words = ends(audit)
    assert status == DEFECT, words
    assert word in words


def test_a_refused_handshake_is_named_while_it_is_waited_for(
    platform: Platform,
) -> None:
    with platform.bank(kafka='{"security.protocol": "SSL"}') as bank:
        wait_until(
            lambda: "SSL handshake failed" in bank.text,
            what="the handshake to be named",
            timeout_seconds=60,
        )
        assert bank.process.poll() is None


def test_a_database_without_a_ledger_is_named(platform: Platform) -> None:
    conninfo = platform.stack.conninfo(user="bank", dbname="postgres")
    with platform.bank(conninfo=conninfo) as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "make migrate" in words


def test_a_topic_without_a_schema_is_named(platform: Platform) -> None:
    with platform.bank(topic="unregistered") as bank:
        status, words = ends(bank)
    assert status == DEFECT, words
    assert "unregistered-value" in words
    assert "make register" in words
