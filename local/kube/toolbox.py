"""A pod to look from, in any cluster of ours: the one of docs/runbooks."""

from __future__ import annotations

from pathlib import Path

import yaml

from local.kube import pods
from local.kube.cluster import Cluster
from local.kube.objects import NAMESPACE
from local.processes.errors import StackError
from local.processes.waiting import wait_until

MANIFEST = Path("docs/runbooks/toolbox.yaml")
NAME = "toolbox"
KAFKA, OURS = "kafka", "once"  # its containers
READY_TIMEOUT_SECONDS = 120.0
SPACED = ("--namespace", NAMESPACE)


def ensure(cluster: Cluster) -> None:
    """Have it there and ready; it ends by itself, hours later. Raises StackError."""
    found = cluster.get("pods", f"--field-selector=metadata.name={NAME}", *SPACED)
    if any(not pods.is_ready(pod) for pod in found["items"]):
        # Its time is over, or its node has died: a pod of that may run for ever.
        cluster.kubectl("delete", "pod", NAME, "--force", "--grace-period=0", *SPACED)
    cluster.apply(yaml.safe_load(_manifest(cluster)))
    wait_until(
        lambda: pods.is_ready(cluster.get("pod", NAME, *SPACED)),
        what="the toolbox",
        timeout_seconds=READY_TIMEOUT_SECONDS,
    )


def _manifest(cluster: Cluster) -> str:
    """With the two images that run already."""
    brokers = [pod for pod in pods.data(cluster) if _image(pod["spec"], KAFKA)]
    if not brokers:
        raise StackError("no broker runs: kubectl -n once get kafka,pods")
    bank = cluster.get("deployment", "bank", *SPACED)["spec"]["template"]["spec"]
    text = MANIFEST.read_text()
    for word, spec, container in (
        ("KAFKA_IMAGE", brokers[0]["spec"], KAFKA),
        ("BANK_IMAGE", bank, "bank"),
    ):
        text = text.replace(word, _image(spec, container))
    return text


def _image(spec: dict[str, list[dict[str, str]]], container: str) -> str:
    images = [each["image"] for each in spec["containers"] if each["name"] == container]
    return images[0] if images else ""
