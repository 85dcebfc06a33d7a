"""Store and Bank as pods, under load: they roll, fail and die, and nothing is lost.

Every test ends with the audit of all ten invariants, run beside the cluster with the
list of what was acknowledged. The pods' network here is a plain bridge: it does not
enforce NetworkPolicy, which tests/manifests judges by a simulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.kube.offline import demo, proof
from local.kube.offline.traffic import Traffic, traffic
from tests.kind.conftest import Deployed, until

STORE_SETTINGS = "producers/store/k8s/base/settings.env"
BANK_SETTINGS = "consumers/bank/k8s/base/bank.env"


@contextmanager
def _proved(deployed: Deployed, folder: Path) -> Iterator[Traffic]:
    """Traffic while the block runs; after it, the audit."""
    site = deployed.site
    outside = demo.outside_of(site.environment)
    before = proof.platform(outside).applied()
    acknowledged = folder / "acknowledged.log"
    with traffic(site.cluster, site.state, acknowledged) as sent:
        sent.wait(200)
        yield sent
        sent.wait(200)
    assert sent.failures == []
    promised = before + sent.acknowledged
    report = proof.prove(outside, acknowledged, promised)
    broken = {
        name: line.findings
        for name, line in report.invariants.items()
        if not line.holds
    }
    assert report.invariants_ok, broken


def test_store_and_bank_roll_under_load_and_no_request_fails(
    deployed: Deployed, tmp_path: Path
) -> None:
    blue = _active(deployed)
    workers = _workers(deployed)
    with _proved(deployed, tmp_path) as sent:
        deployed.edit(STORE_SETTINGS, "_SECONDS_MAX=20", "_SECONDS_MAX=21")
        deployed.edit(
            BANK_SETTINGS, "BANK_DRAIN_SECONDS_MAX=8", "BANK_DRAIN_SECONDS_MAX=9"
        )
        deployed.settle(deployed.push("new settings for both"))
    assert _active(deployed) != blue
    assert not workers & _workers(deployed)
    assert sent.repeats == []
    runs = deployed.site.cluster.get("analysisruns", "--namespace=once")["items"]
    of_green = [run for run in runs if _active(deployed) in run["metadata"]["name"]]
    phases = {run["status"]["phase"] for run in of_green}
    assert phases == {"Successful"} and len(of_green) == 2  # before and after


def test_a_green_store_that_fails_its_smoke_test_never_serves_and_goes(
    deployed: Deployed, tmp_path: Path
) -> None:
    blue = _active(deployed)
    with _proved(deployed, tmp_path) as sent:
        # It starts and is ready, and then refuses every token.
        deployed.edit(STORE_SETTINGS, "STORE_PORT=8443", BROKEN)
        deployed.push("a green that is broken")
        until("green to be given up", lambda: _aborted(deployed), 180)
        assert _active(deployed) == blue
        until("the failure to be shown", lambda: _shown(deployed))
        deployed.revert()
    assert _active(deployed) == blue
    assert sent.repeats == []


def test_a_node_dies_under_load_and_its_pods_move(
    deployed: Deployed, tmp_path: Path
) -> None:
    cluster = deployed.site.cluster
    with _proved(deployed, tmp_path) as sent:
        node = demo.busiest_node(cluster)
        cluster.kill_node(node)
        try:
            demo.wait_moved(cluster, node)
            sent.wait(500)
        finally:
            cluster.start_node(node)


def test_a_new_password_is_taken_by_workers_that_are_restarted_one_by_one(
    deployed: Deployed, tmp_path: Path
) -> None:
    kubectl = deployed.site.cluster.kubectl
    old = deployed.one("secret", "ledger-pguser-bank")["data"]["password"]
    with _proved(deployed, tmp_path) as sent:
        kubectl("delete", "secret/ledger-pguser-bank", "--namespace=once")
        until("a new password", lambda: _password(deployed) not in ("", old))
        kubectl("rollout", "restart", "deployment/bank", "--namespace=once")
        status = ("rollout", "status", "deployment/bank", "--timeout=180s")
        kubectl(*status, "--namespace=once")
    assert sent.repeats == []


BROKEN = "STORE_PORT=8443\nSTORE_TOKEN_AUDIENCE=nobody"


def _active(deployed: Deployed) -> str:
    """The hash of the pods that the Service leads to."""
    rollout = deployed.one("rollout", "store")
    return str(rollout["status"]["blueGreen"]["activeSelector"])


def _aborted(deployed: Deployed) -> bool:
    return bool(deployed.one("rollout", "store")["status"].get("abort"))


def _shown(deployed: Deployed) -> bool:
    return deployed.app("store").health == "Degraded"


def _password(deployed: Deployed) -> str:
    found = deployed.api.get("Secret", "once", "ledger-pguser-bank")
    return str(found["data"]["password"]) if found else ""


def _workers(deployed: Deployed) -> set[str]:
    """The Bank's pods that are to stay."""
    pods = demo.our_pods(deployed.site.cluster)
    return {
        pod["metadata"]["uid"]
        for pod in pods
        if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "bank"
    }
