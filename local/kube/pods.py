"""Which pods of a cluster are ours, and whether they are ready."""

from __future__ import annotations

from local.kube.api import Object
from local.kube.cluster import Cluster
from local.kube.objects import NAMESPACE

SERVICES = (
    "app.kubernetes.io/name in (bank,store),app.kubernetes.io/component in (api,worker)"
)
BROKERS = "strimzi.io/cluster=once"
INSTANCES = "postgres-operator.crunchydata.com/cluster=ledger"


def services(cluster: Cluster) -> list[Object]:
    """Those of Store and Bank that are to stay, whatever their state."""
    return [
        pod
        for pod in _found(cluster, SERVICES)
        if "deletionTimestamp" not in pod["metadata"]
    ]


def data(cluster: Cluster) -> list[Object]:
    """Those of Kafka and of the ledger that are to run all the time."""
    found = [*_found(cluster, BROKERS), *_found(cluster, INSTANCES)]
    return [pod for pod in found if pod["spec"]["restartPolicy"] == "Always"]


def is_ready(pod: Object) -> bool:
    """Whether it takes work, and stays."""
    return "deletionTimestamp" not in pod["metadata"] and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions", [])
    )


def _found(cluster: Cluster, selector: str) -> list[Object]:
    asked = ("pods", "--namespace", NAMESPACE, f"--selector={selector}")
    items: list[Object] = cluster.get(*asked)["items"]
    return items
