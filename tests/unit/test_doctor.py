"""What the doctor says at its end, and which values of settings are harmless."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from rich.console import Console
from typer.testing import CliRunner

import once.__main__ as cli
from once.doctor.bending import SERVER, SESSION
from once.doctor.registry import check_registry
from once.doctor.report import (
    Finding,
    Level,
    as_json,
    as_table,
    exit_status,
    good,
    guarded,
)
from once.errors import Defect, Retriable
from tests.unit.test_registry import answering

WARNING = Finding("clock", Level.WARNING, "+40 s", "at most 30 s", "look at it")
DEFECT = Finding("topic t", Level.DEFECT, "missing", "there", "make it")
REFUSED = Finding("policy", Level.REFUSED, "compact", "delete", "alter it")


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], 0),
        ([good("a", "b"), WARNING], 0),
        ([WARNING, DEFECT], 78),
        ([DEFECT, REFUSED, WARNING], 65),
    ],
)
def test_the_worst_finding_decides_the_exit_status(
    findings: list[Finding], status: int
) -> None:
    assert exit_status(findings) == status


def test_a_part_that_is_away_hides_nothing() -> None:
    def part() -> Iterator[Finding]:
        yield WARNING
        raise Retriable("nobody answers")

    assert list(guarded("Kafka", part())) == [
        WARNING,
        Finding("Kafka", Level.DEFECT, "nobody answers", "an answer"),
    ]


def test_programs_get_json_and_people_a_table() -> None:
    (said,) = json.loads(as_json([REFUSED]))
    assert said == {
        "check": "policy",
        "level": "refused",
        "found": "compact",
        "wanted": "delete",
        "cure": "alter it",
    }
    out = io.StringIO()
    Console(file=out, width=160).print(as_table([REFUSED, good("[b]x", "fine")]))
    for word in (*said.values(), "[b]x", "good", "fine"):
        assert word in out.getvalue()


def test_a_finding_is_one_sentence_for_a_log() -> None:
    assert str(REFUSED) == "policy: compact (wanted: delete); alter it"


@pytest.mark.parametrize(
    ("setting", "harmless", "bent"),
    [
        ("client_encoding", ["UTF8", "utf-8", "'UTF8'", "unicode"], ["LATIN1", ""]),
        ("statement_timeout", ["0", "0s", "0ms", "'0'"], ["1", "10s", "0.5s", "05"]),
        ("synchronous_commit", ["on", "remote_apply"], ["off", "local"]),
        ("default_transaction_isolation", ["read committed"], ["serializable"]),
        ("synchronous_standby_names", ["node-2"], [""]),
    ],
)
def test_only_what_bends_the_promise_is_found(
    setting: str, harmless: list[str], bent: list[str]
) -> None:
    rule = {**SERVER, **SESSION}[setting]
    assert [value for value in harmless if not rule.is_good(value)] == []
    assert [value for value in bent if rule.is_good(value)] == []


def test_what_is_no_registry_is_one_finding() -> None:
    with answering(200, b"<html>please log in</html>") as registry:
        schemas = {"a-value": "avro/transfer.avsc", "b-value": "avro/transfer.avsc"}
        (finding,) = guarded("registry", check_registry(registry.url, None, schemas))
    assert finding.level is Level.DEFECT
    assert (finding.check, finding.found) == ("registry", "what answers is no registry")


def test_settings_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONCE_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("ONCE_REGISTRY_URL", raising=False)
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert isinstance(done.exception, Defect)
    assert "ONCE_BOOTSTRAP_SERVERS, ONCE_REGISTRY_URL; see" in str(done.exception)
