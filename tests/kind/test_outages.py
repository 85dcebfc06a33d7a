"""What pays while the Bank, or Kafka, is away altogether; and the audit after it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from local.kube import demo
from local.kube.ledger_pods import LedgerPods
from tests.kind.conftest import Deployed, proved, until

pytestmark = pytest.mark.nightly

BANK = "consumers/bank/k8s/overlays/kind/kustomization.yaml"
BROKERS = "9090-9094"
AWAY_SECONDS = 60.0


def test_without_any_bank_payments_are_promised_and_decided_when_it_is_back(
    deployed: Deployed, tmp_path: Path
) -> None:
    with closing(deployed.site.api()) as api, proved(deployed, tmp_path) as sent:
        ledger = LedgerPods(api, deployed.site.cluster.kubeconfig)
        deployed.edit(BANK, "count: 2", "count: 0")
        deployed.push("no Bank")
        until("the Bank to leave", lambda: not workers(deployed), 180)
        before = ledger.applied()
        sent.wait(2_000)
        assert ledger.applied() == before
        deployed.revert()
    assert sent.repeats == []


def test_while_kafka_is_away_clients_ask_again_and_nothing_is_lost(
    deployed: Deployed, tmp_path: Path
) -> None:
    """No journal there: the Store promises nothing that it cannot keep."""
    cluster = deployed.site.cluster
    with proved(deployed, tmp_path) as sent:
        with cluster.mute(BROKERS):
            time.sleep(AWAY_SECONDS)  # how long the outage lasts is the point
        sent.wait(2_000, timeout_seconds=180.0)
    assert sent.repeats
    demo.wait_whole(cluster)


def workers(deployed: Deployed) -> list[str]:
    """The pods of the Bank, also those that still leave."""
    return [
        pod["metadata"]["name"]
        for pod in deployed.api.list("Pod", "once")
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "worker"
    ]
