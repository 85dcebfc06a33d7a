"""The demo on the cluster: payments flow, a node dies, the audit has the last word."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from rich.console import Console

from consumers.bank.audit.show import show
from local.kube.api import Object
from local.kube.cluster import Cluster
from local.kube.environment import VARIABLE, Environment
from local.kube.objects import NAMESPACE
from local.kube.offline import proof
from local.kube.offline.environment import Offline
from local.kube.offline.outside import Outside
from local.kube.offline.traffic import traffic
from local.kube.site import Site
from local.processes.errors import StackError
from local.processes.waiting import wait_until

REPORT = Path("build/reports/kind-demo.json")
MOVED_TIMEOUT_SECONDS = 180.0
OURS = ("bank", "store")


def outside_of(environment: Environment) -> Outside:
    """Raises StackError where Kafka and Postgres are out of the audit's reach."""
    if isinstance(environment, Offline):
        return environment.outside
    raise StackError(
        f"kind-demo audits from beside the cluster, so it needs {Offline.name}: run "
        f"'{VARIABLE}=1 make kind-up', then '{VARIABLE}=1 make kind-demo'; where "
        "operators run Kafka and Postgres, start the audit inside: kubectl -n once "
        "create job --from=cronjob/audit audit-now"
    )


def run(site: Site, seconds: float, console: Console) -> bool:
    """Half the time before the node dies, half after; whether all invariants hold."""
    cluster, acknowledged = site.cluster, site.state / "acknowledged.log"
    outside = outside_of(site.environment)
    before = proof.platform(outside).applied()
    waiting = threading.Event()
    with traffic(cluster, site.state, acknowledged) as sent:
        waiting.wait(seconds / 2)
        node = busiest_node(cluster)
        console.print(f"{sent.acknowledged:,} acknowledged; {node} dies now")
        cluster.kill_node(node)
        try:
            wait_moved(cluster, node)
            console.print(f"its pods run elsewhere; {len(sent.repeats)} attempts again")
            waiting.wait(seconds / 2)
        finally:
            cluster.start_node(node)
    if sent.failures:
        raise StackError(f"a client gave up: {sent.failures[0]}")
    console.print(f"{sent.acknowledged:,} acknowledged in all; auditing ...")
    promised = before + sent.acknowledged
    report = proof.prove(outside, acknowledged, promised)
    show(report, console)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "node": node,
        "acknowledged": sent.acknowledged,
        "attempts_again": len(sent.repeats),
        "lost": report.invariants["I1"].violations,
        "duplicated": report.invariants["I2"].violations,
        "invariants_ok": report.invariants_ok,
    }
    REPORT.write_text(json.dumps(result, indent=2) + "\n")
    console.print_json(data=result)
    return report.invariants_ok


def our_pods(cluster: Cluster) -> list[Object]:
    """The pods of Store and Bank that are to stay, whatever their state."""
    names = f"app.kubernetes.io/name in ({','.join(OURS)})"
    parts = "app.kubernetes.io/component in (api,worker)"
    selector = f"--selector={names},{parts}"
    pods = cluster.get("pods", "--namespace", NAMESPACE, selector)["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def busiest_node(cluster: Cluster) -> str:
    """A worker with as many pods of ours as any."""
    found = [pod["spec"].get("nodeName", "") for pod in our_pods(cluster)]
    nodes: list[str] = [node for node in found if node]
    if not nodes:
        raise StackError("no pod of Store or Bank runs: is 'make kind-up' done?")
    return max(set(nodes), key=nodes.count)


def wait_moved(cluster: Cluster, dead: str) -> None:
    """Until every pod of ours is ready, and none on that node. Raises StackError."""

    def moved() -> bool:
        pods = our_pods(cluster)
        return bool(pods) and all(
            pod["spec"].get("nodeName") != dead and is_ready(pod) for pod in pods
        )

    wait_until(
        moved,
        what=f"pods to leave {dead}",
        timeout_seconds=MOVED_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )


def is_ready(pod: Object) -> bool:
    """Whether it takes work."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions", [])
    )
