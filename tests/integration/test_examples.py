"""The samples of examples/, run as their page says: they pay once, and learn of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.platform import Platform
from local.stack import Stack
from tests.fix_platform import CREDIT_LIMIT, balance, verdict
from tests.integration.raw import partition_of
from tests.samples import NOT_KNOWN, NOT_PAID, POSTED, PYTHON, Sample, compiled

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]


def evaluated(stack: Stack) -> dict[str, str]:
    """What `make env` exports, as a shell takes it."""
    state = str(stack.config.state_dir)
    command = [sys.executable, "-m", "local", "env", "--state-dir", state]
    exported = subprocess.check_output(command, cwd=ROOT, text=True)
    script = f"{exported}\nenv"
    shown = subprocess.check_output(["sh", "-c", script], env={}, text=True)
    found = dict(line.split("=", 1) for line in shown.splitlines())
    return {name: found[name] for name in ("BOOTSTRAP_SERVERS", "REGISTRY_URL")}


@pytest.fixture(scope="module")
def java(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the compiled Java sample."""
    return compiled(stack.endpoints.jars_dir, tmp_path_factory.mktemp("classes"))


@pytest.fixture(params=["python", "java"])
def sample(request: pytest.FixtureRequest, platform: Platform) -> Sample:
    """Each of them, on a platform of its own."""
    of_java = request.param == "java"
    command: list[str] = request.getfixturevalue("java") if of_java else PYTHON
    topics = {"TOPIC": platform.topic, "RESULTS_TOPIC": platform.results_topic}
    return Sample(command, {**evaluated(platform.stack), **topics})


def assert_whole(platform: Platform) -> None:
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_a_payment_is_made_once_and_a_repeat_finds_its_first_verdict(
    platform: Platform, sample: Sample, tmp_path: Path
) -> None:
    order = tmp_path / "order-4711.json"
    with platform.bank(session_timeout_ms=2000):
        first = sample.pay(order, 7, 101, 250)
        assert (first.status, first.last) == (POSTED, "POSTED"), first.text
        again = sample.pay(order)
        assert again.status == POSTED, again.text
        platform.wait_applied(2)
    assert again.last.startswith("EXISTS: ") and again.last.endswith(" was POSTED")
    assert first.transfer_id == again.transfer_id
    assert first.partition == again.partition == partition_of(7)
    assert verdict(platform, first.transfer_id) == "POSTED"
    assert balance(platform, 101) == 250
    assert_whole(platform)


def test_a_payment_that_is_declined_is_told_so_each_time(
    platform: Platform, sample: Sample, tmp_path: Path
) -> None:
    order = tmp_path / "order.json"
    with platform.bank(session_timeout_ms=2000):
        first = sample.pay(order, 42, 101, CREDIT_LIMIT + 1)
        again = sample.pay(order)
    funds = "DECLINED_INSUFFICIENT_FUNDS"
    assert (first.status, first.last) == (NOT_PAID, funds), first.text
    assert again.status == NOT_PAID, again.text
    assert again.last.startswith("EXISTS: ") and again.last.endswith(f" was {funds}")
    assert first.partition == partition_of(42)


def test_a_result_that_is_late_is_found_by_running_it_again(
    platform: Platform, sample: Sample, tmp_path: Path
) -> None:
    order = tmp_path / "order.json"
    early = sample.pay(order, 1, 101, 250, RESULT_SECONDS_MAX="1")
    assert early.status == NOT_KNOWN, early.text
    assert early.last == "not known yet: run it again"
    with platform.bank(session_timeout_ms=2000):
        platform.wait_applied(1)
        again = sample.pay(order)
        platform.wait_applied(2)
    assert again.status == POSTED, again.text
    assert again.last.startswith("EXISTS: ") and again.last.endswith(" was POSTED")
    assert balance(platform, 101) == 250
    assert_whole(platform)


@pytest.mark.parametrize("sample", ["python"], indirect=True)
def test_what_is_not_acknowledged_in_time_is_sent_again_under_its_id(
    platform: Platform, sample: Sample, tmp_path: Path
) -> None:
    """Whether a record arrived that timed out is not known, and need not be."""
    order, hasty = tmp_path / "order.json", tmp_path / "hasty.properties"
    hasty.write_text("delivery.timeout.ms=1\n")
    timed_out = sample.pay(order, 1, 101, 250, KAFKA_PROPERTIES=str(hasty))
    assert timed_out.status == NOT_KNOWN, timed_out.text
    assert timed_out.text.count("not acknowledged, sending the same id again") == 2
    with platform.bank(session_timeout_ms=2000):
        again = sample.pay(order)
    assert again.status == POSTED, again.text
    assert again.transfer_id == timed_out.transfer_id
    assert balance(platform, 101) == 250
