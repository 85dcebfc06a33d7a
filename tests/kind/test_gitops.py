"""A real Argo CD: what is pushed is deployed, and nothing else stays.

Where the operators' images cannot be had, their custom resources get their status from
a stand-in; Argo CD, Rollouts, the API server, the nodes and our pods are real.
"""

from __future__ import annotations

import base64
import time
from datetime import datetime

import pytest

from local.kube import argo
from tests.kind.conftest import BANK, LIVE_SECONDS_MAX, Deployed, until

# It waits longer each time that it has to put the same commit right again.
HEALED_SECONDS_MAX = 180.0
BEFORE = [
    ("namespace", "kafka"),
    ("namespace", "postgres"),
    ("namespace", "edge"),
    ("kafka", "registry"),
    ("postgres", "registry"),
    ("edge", "registry"),
    ("registry", "bank"),
    ("bank", "store"),
]


def test_everything_is_synced_and_healthy(deployed: Deployed) -> None:
    apps = argo.applications(deployed.api)
    assert {app.name for app in apps} >= {name for pair in BEFORE for name in pair}
    assert [app for app in apps if not app.done] == []


@pytest.mark.parametrize(("first", "then"), BEFORE)
def test_a_wave_begins_when_the_one_before_is_healthy(
    deployed: Deployed, first: str, then: str
) -> None:
    assert _first_deployed(deployed, first) <= _created(deployed, then)


def test_a_pushed_replica_count_is_live_within_30_seconds(deployed: Deployed) -> None:
    deployed.edit("producers/store/k8s/base/rollout.yaml", "replicas: 2", "replicas: 3")
    began = time.monotonic()
    deployed.push("one Store more")
    until(
        "three Stores",
        lambda: deployed.one("rollout", "store")["spec"]["replicas"] == 3,
        LIVE_SECONDS_MAX,
    )
    assert time.monotonic() - began <= LIVE_SECONDS_MAX
    deployed.revert()
    assert deployed.one("rollout", "store")["spec"]["replicas"] == 2


def test_what_was_changed_or_deleted_by_hand_is_put_back(deployed: Deployed) -> None:
    kubectl = deployed.site.cluster.kubectl
    kubectl("scale", "deployment/bank", "--replicas=1", "--namespace=once")
    until(
        "the replicas of git",
        lambda: deployed.one("deployment", "bank")["spec"]["replicas"] == 2,
        HEALED_SECONDS_MAX,
    )
    # Not in the middle of a sync: that would wait for what was just deleted.
    deployed.settle(deployed.site.remote.head())
    budget = ("poddisruptionbudget/bank", "--namespace=once", "--output=name")
    kubectl("delete", *budget)
    until(
        "the budget of git",
        lambda: kubectl("get", *budget, "--ignore-not-found"),
        HEALED_SECONDS_MAX,
    )


def test_a_bad_push_is_reported_and_what_runs_goes_on(deployed: Deployed) -> None:
    before = _bank_pods(deployed)
    deployed.edit(
        f"{BANK}/kustomization.yaml",
        "  - {name: bank, count: 2}",
        "  - {name: bank, count: -2}",
    )
    deployed.push("a mistake")
    until(
        "the mistake to be reported",
        lambda: "spec.replicas" in deployed.app("bank").message,
    )
    assert _bank_pods(deployed) == before
    deployed.revert()
    assert _bank_pods(deployed) == before


def test_a_stateful_thing_is_not_pruned_before_somebody_confirms(
    deployed: Deployed,
) -> None:
    file = deployed.clone / "strimzi/base/topics.yaml"
    kept = [
        document
        for document in file.read_text().split("\n---\n")
        if "name: transfer-receipts" not in document
    ]
    file.write_text("\n---\n".join(kept))
    deployed.push("a topic less")
    until(
        "a confirmation to be asked for",
        lambda: "confirmation" in deployed.app("kafka").message.lower(),
    )
    assert deployed.one("kafkatopic", "transfer-receipts")
    cluster, kafka = deployed.site.cluster, "kafka"
    argo.terminate(cluster, kafka)  # nobody says yes
    until("the sync to end", lambda: "terminated" in deployed.app(kafka).message)
    reverted = deployed.site.remote.revert()
    until("the revert", lambda: deployed.app(kafka).revision == reverted)
    argo.sync(cluster, kafka)
    deployed.settle(reverted)
    assert deployed.one("kafkatopic", "transfer-receipts")


def test_secrets_lie_encrypted_in_etcd(deployed: Deployed) -> None:
    """kind's etcd runs in the control plane's container, and is asked there."""
    site = deployed.site
    (node,) = (name for name in site.cluster.nodes() if "control-plane" in name)
    files = "/var/lib/etcd/member/snap/db"
    kept = deployed.one("secret", "ledger-pguser-bank")["data"]["password"]
    password = base64.b64decode(kept).decode()
    counting = ["exec", node, "grep", "--text", "--count"]
    asked = [*counting, "--fixed-strings", password, files]
    found = site.cluster.docker.run(*asked, check=False)
    assert found.strip() == "0"
    prefix = "k8s:enc:secretbox:v1:first"
    found = site.cluster.docker.run(*counting, prefix, files)
    assert int(found) > 0


def _first_deployed(deployed: Deployed, name: str) -> datetime:
    """When the first sync of an Application ended."""
    found = deployed.api.get("Application", argo.ARGO_CD_NAMESPACE, name)
    assert found is not None
    history = found["status"]["history"]
    if history[0]["id"] != 0:
        pytest.skip("this cluster has been at work too long to remember its first sync")
    return datetime.fromisoformat(history[0]["deployedAt"])


def _created(deployed: Deployed, name: str) -> datetime:
    found = deployed.api.get("Application", argo.ARGO_CD_NAMESPACE, name)
    assert found is not None
    return datetime.fromisoformat(found["metadata"]["creationTimestamp"])


def _bank_pods(deployed: Deployed) -> set[str]:
    selector = "--selector=app.kubernetes.io/component=worker"
    pods = deployed.site.cluster.get("pods", "--namespace=once", selector)["items"]
    return {pod["metadata"]["uid"] for pod in pods}
