"""Disks for pods, where the provisioner of kind is an image that cannot be had.

Folders of each worker, offered before anybody asks: a pod gets one of the worker that
it comes to, and from then on lives there, as with a disk of a zone.
"""

from __future__ import annotations

from typing import Any

from local.kube.environment import Kubectl

CLASS = "standard"  # kind's name for it
FOLDER = "/var/local/once"  # in a node; its /var outlives a kill
# Of a broker, an instance of Postgres, and one to spare.
PER_WORKER = 3
OFFERED = "20Gi"  # said, not enforced


def offer(cluster: Kubectl) -> None:
    """The class and its volumes. Raises StackError."""
    # kind has made one of this name, whose provisioner fits a single node.
    cluster.kubectl("delete", "storageclass", CLASS, "--ignore-not-found")
    made = [_storage_class()]
    for found in cluster.get("nodes")["items"]:
        node = found["metadata"]["name"]
        if "control-plane" in node:
            continue
        folders = [f"{FOLDER}/{number}" for number in range(PER_WORKER)]
        cluster.docker.run("exec", node, "mkdir", "--parents", *folders)
        made += [_volume(node, number) for number in range(PER_WORKER)]
    cluster.apply(*made)


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(node: str, number: int) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = [{"matchExpressions": [here]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{node}-{number}"},
        "spec": {
            "capacity": {"storage": OFFERED},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "local": {"path": f"{FOLDER}/{number}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }
