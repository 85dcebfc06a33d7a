"""Store and Bank as pods, under load: they roll, fail and die, and nothing is lost.

Every test ends with the audit of all eleven invariants, run in the cluster as a Job
with the list of what was acknowledged.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.kube import demo, pods
from tests.kind.conftest import Deployed, proved, until

STORE_SETTINGS = "producers/store/k8s/base/settings.env"
# A node is found dead, and its lease ends, after 20 s; the rest is two busy cores.
GAP_SECONDS_MAX = 120.0
BANK_SETTINGS = "consumers/bank/k8s/base/bank.env"


def test_store_and_bank_roll_under_load_and_no_request_fails(
    deployed: Deployed, tmp_path: Path
) -> None:
    blue = _active(deployed)
    workers = _workers(deployed)
    with proved(deployed, tmp_path) as sent:
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
    with proved(deployed, tmp_path) as sent:
        # It starts and is ready, and then refuses every token.
        deployed.edit(STORE_SETTINGS, "STORE_PORT=8443", BROKEN)
        deployed.push("a green that is broken")
        until("green to be given up", lambda: _aborted(deployed), 180)
        assert _active(deployed) == blue
        until("the failure to be shown", lambda: _shown(deployed))
        deployed.revert()
    assert _active(deployed) == blue
    assert sent.repeats == []


@pytest.mark.parametrize(
    "fault",
    [
        "primary",
        pytest.param("broker", marks=pytest.mark.nightly),
        pytest.param("zone", marks=pytest.mark.nightly),
    ],
)
def test_a_worker_is_lost_with_broker_ledger_store_and_bank(
    deployed: Deployed, tmp_path: Path, fault: str
) -> None:
    with proved(deployed, tmp_path) as sent:
        blow = demo.strike(deployed.site, sent, fault)
    assert blow.answer_gap_seconds < GAP_SECONDS_MAX
    assert blow.ledger_gap_seconds < GAP_SECONDS_MAX


def test_a_new_password_is_taken_by_workers_that_are_restarted_one_by_one(
    deployed: Deployed, tmp_path: Path
) -> None:
    kubectl = deployed.site.cluster.kubectl
    old = deployed.one("secret", "ledger-pguser-bank")["data"]["password"]
    with proved(deployed, tmp_path) as sent:
        kubectl("delete", "secret/ledger-pguser-bank", "--namespace=once")
        until("a new password", lambda: _password(deployed) not in ("", old))
        kubectl("rollout", "restart", "deployment/bank", "--namespace=once")
        status = ("rollout", "status", "deployment/bank", "--timeout=180s")
        kubectl(*status, "--namespace=once")
    assert sent.repeats == []


def test_new_certificates_are_taken_by_pods_that_run_on(
    deployed: Deployed, tmp_path: Path
) -> None:
    """A kubelet brings a changed Secret to its pods within a minute or two."""
    kubectl = deployed.site.cluster.kubectl
    began = datetime.now(UTC).isoformat(timespec="seconds")
    before = {pod["metadata"]["uid"] for pod in pods.services(deployed.site.cluster)}

    def renewed() -> bool:
        """Each of them, in its own words."""
        since = ("--namespace=once", f"--since-time={began}")
        said = [
            kubectl("logs", pod["metadata"]["name"], *since)
            for pod in pods.services(deployed.site.cluster)
        ]
        return all("a key or certificate was replaced" in each for each in said)

    with proved(deployed, tmp_path) as sent:
        kubectl("delete", "secret/bank", "secret/store", "--namespace=once")
        until("every pod to take its new certificate", renewed, 300)
    assert sent.repeats == []
    after = {pod["metadata"]["uid"] for pod in pods.services(deployed.site.cluster)}
    assert after == before


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
    found = pods.services(deployed.site.cluster)
    return {
        pod["metadata"]["uid"]
        for pod in found
        if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "bank"
    }
