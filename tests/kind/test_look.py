"""Looking inside the cluster: each command as a person types it, by make."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.fix_stack import ROOT
from tests.kind.conftest import Deployed

LONGEST_SECONDS = 300.0


def typed(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """How `make kind-...` ended."""
    said = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--silent", f"kind-{target}", "KIND_OFFLINE=1", *said]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


def make(target: str, **variables: str) -> str:
    """What it prints; it must end well."""
    done = typed(target, **variables)
    assert done.returncode == 0, f"{done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_a_payment_is_made_and_found_again(deployed: Deployed) -> None:
    states = [json.loads(line) for line in make("pay").splitlines()]
    assert [states[0]["state"], states[-1]["state"]] == ["committed", "posted"]
    paid = states[0]["transfer_id"]
    found = make("psql", ARGS=f'-Atc "TABLE transfers" | grep -c {paid}')
    assert found.strip() == "1"
    assert paid in make("peek", TOPIC="transfer-results", ARGS="--count 200")


@pytest.mark.parametrize(
    ("tool", "asked", "said"),
    [
        ("topics", "--describe --topic transfers", "ReplicationFactor: 3"),
        ("consumer-groups", "--describe --group bank", "transfers"),
        ("metadata-quorum", "describe --status", "CurrentVoters:"),
        ("configs", "--describe --topic transfers", "min.insync.replicas=2"),
    ],
)
def test_a_tool_of_kafka_shows_what_is_there(
    deployed: Deployed, tool: str, asked: str, said: str
) -> None:
    assert said in make(f"kafka-{tool}", ARGS=asked)


def test_who_looks_changes_nothing(deployed: Deployed) -> None:
    site = deployed.site
    write = "insert into accounts values (999999, 'EUR')"
    refused = typed("psql", ARGS=f'-c "{write}"')
    assert refused.returncode != 0
    assert "permission denied" in refused.stderr
    assert site.is_up()


def test_the_audit_runs_in_the_cluster(deployed: Deployed) -> None:
    make("audit")


def test_its_store_is_measured(deployed: Deployed) -> None:
    make("loadtest", ARGS="--rate 20 --seconds 5 --connections 10")
    report = json.loads((ROOT / "build/reports/loadtest-cluster.json").read_text())
    for way in ("committed", "posted"):
        assert report[way]["requests"] == 100
        assert report[way]["refused"] == report[way]["broken"] == 0
