"""Installs Argo CD and Argo Rollouts, and sees how far the Applications are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.kube import objects, releases
from local.kube.api import Api, Object
from local.kube.cluster import Cluster
from local.kube.versions import ARGO_CD, ARGO_ROLLOUTS
from local.processes.waiting import wait_until

ARGO_CD_NAMESPACE, ROLLOUTS_NAMESPACE = "argocd", "argo-rollouts"
PART_OF_ARGO_CD = "app.kubernetes.io/part-of=argocd"
IMAGE = "quay.io/argoproj/argocd"
INSTALLED_TIMEOUT_SECONDS = 300.0
# Parts of Argo CD that a laptop does without: single sign-on, mail, generators.
WITHOUT = (
    "argocd-dex-server",
    "argocd-notifications-controller",
    "argocd-applicationset-controller",
)


def install(cluster: Cluster, images: Mapping[str, str]) -> None:
    """Both, from the manifests of their releases, with these images for theirs.

    Raises StackError.
    """
    for namespace, project in (
        (ARGO_CD_NAMESPACE, "argo-cd"),
        (ROLLOUTS_NAMESPACE, "argo-rollouts"),
    ):
        cluster.apply(objects.namespace(namespace))
        cluster.apply(*_adapted(project, images), namespace=namespace)


def image(images: Mapping[str, str]) -> str:
    """Argo CD's, with these images for those of its release."""
    return images.get(IMAGE, f"{IMAGE}:v{ARGO_CD}")


def wait_installed(cluster: Cluster) -> None:
    """Until every Deployment of both is available. Raises StackError."""

    def available() -> bool:
        return all(
            found["status"].get("availableReplicas", 0) >= found["spec"]["replicas"]
            for namespace in (ARGO_CD_NAMESPACE, ROLLOUTS_NAMESPACE)
            for found in cluster.get("deployments", "--namespace", namespace)["items"]
        )

    wait_until(
        available,
        what="Argo CD",
        timeout_seconds=INSTALLED_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )


def bootstrap(cluster: Cluster, checkout: Path, environment: str) -> None:
    """Apply the one thing that is applied by hand: settings and the root Application.

    By another name than the manifests above: else their keys would be taken out again.
    """
    overlay = checkout / "argocd" / "bootstrap" / "overlays" / environment
    command = ["apply", "--server-side", "--force-conflicts"]
    owner = "--field-manager=once-bootstrap"
    cluster.kubectl(*command, owner, "--kustomize", str(overlay))
    restart = ("rollout", "restart", "deployment,statefulset")  # read at their start
    theirs = ("--namespace", ARGO_CD_NAMESPACE, f"--selector={PART_OF_ARGO_CD}")
    cluster.kubectl(*restart, *theirs)


@dataclass(frozen=True)
class AppState:
    """How far one Application is."""

    name: str
    sync: str
    health: str
    revision: str
    repository: str
    message: str

    @property
    def done(self) -> bool:
        """In the cluster as it is in git, and working."""
        return self.sync == "Synced" and self.health == "Healthy"


def applications(api: Api) -> list[AppState]:
    """Every Application, by name."""
    found = api.list("Application", ARGO_CD_NAMESPACE)
    return sorted((_state(each) for each in found), key=lambda app: app.name)


def refresh(cluster: Cluster) -> None:
    """Look at git now, without waiting for the next turn."""
    note = "argocd.argoproj.io/refresh=normal"
    spaced = ("--namespace", ARGO_CD_NAMESPACE)
    cluster.kubectl("annotate", "applications", "--all", "--overwrite", note, *spaced)


def terminate(cluster: Cluster, name: str) -> None:
    """End the sync that runs, as `argocd app terminate-op` does."""
    _patch(cluster, name, {"status": {"operationState": {"phase": "Terminating"}}})


def sync(cluster: Cluster, name: str) -> None:
    """Sync once more, as `argocd app sync`: one that was ended counts as failed."""
    _patch(cluster, name, {"operation": {"sync": {}}})


def _patch(cluster: Cluster, name: str, change: Object) -> None:
    patch = ("patch", f"application/{name}", "--type=merge")
    said = f"--patch={json.dumps(change)}"
    cluster.kubectl(*patch, said, "--namespace", ARGO_CD_NAMESPACE)


def _state(found: Object) -> AppState:
    status = found.get("status", {})
    operation = status.get("operationState", {})
    conditions = [each.get("message", "") for each in status.get("conditions", [])]
    return AppState(
        name=found["metadata"]["name"],
        sync=status.get("sync", {}).get("status", "Unknown"),
        health=status.get("health", {}).get("status", "Missing"),
        revision=status.get("sync", {}).get("revision", ""),
        repository=found["spec"].get("source", {}).get("repoURL", ""),
        message=" | ".join([*conditions, operation.get("message", "")]).strip(" |"),
    )


def _adapted(project: str, images: Mapping[str, str]) -> Iterator[Object]:
    """Its objects, with these images and without what is not needed."""
    for document in releases.objects_of(project):
        if document["kind"] in ("Deployment", "StatefulSet"):
            spec = document["spec"]
            spec.setdefault("replicas", 1)
            if document["metadata"]["name"] in WITHOUT:
                spec["replicas"] = 0
            pod = spec["template"]["spec"]
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                _set_image(container, images)
        yield document


def _set_image(container: dict[str, Any], images: Mapping[str, str]) -> None:
    name, _, tag = container["image"].rpartition(":")
    if tag == "latest":
        container["image"] = f"{name}:v{ARGO_ROLLOUTS}"
    if name in images:
        container["image"] = images[name]
    container["imagePullPolicy"] = "IfNotPresent"
