"""The pods that our objects ask for, whatever kind asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.manifests.overlays import Object, dig, kinds, named

LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")


@dataclass(frozen=True)
class Pod:
    """One pod template, and who makes pods of it."""

    owner: Object
    template: Object

    @property
    def name(self) -> str:
        """How a finding names it: by its owner."""
        return named(self.owner)

    @property
    def namespace(self) -> str:
        """Where its pods are."""
        return str(self.owner["metadata"].get("namespace", ""))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its pods."""
        found: dict[str, str] = self.template.get("metadata", {}).get("labels", {})
        return found

    @property
    def spec(self) -> Object:
        """The pods' own spec."""
        found: Object = self.template["spec"]
        return found

    @property
    def containers(self) -> list[Object]:
        """All containers, those that run first too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def is_long_running(self) -> bool:
        """Whether its pods run until somebody ends them."""
        return self.owner["kind"] in LONG_RUNNING


def pods(objects: list[Object]) -> list[Pod]:
    """Every pod template."""
    return [Pod(obj, template) for obj in objects for template in _templates(obj)]


def most_replicas(pod: Pod, objects: list[Object]) -> int:
    """How many of its pods there may be at once."""
    for scaled in kinds(objects, "ScaledObject"):
        if scaled["spec"]["scaleTargetRef"]["name"] == pod.owner["metadata"]["name"]:
            return int(scaled["spec"]["maxReplicaCount"])
    return int(pod.owner["spec"].get("replicas", 1))


def _templates(obj: Object) -> Iterator[Object]:
    spec = obj.get("spec", {})
    if obj["kind"] in (*LONG_RUNNING, "Job"):
        yield spec["template"]
    elif obj["kind"] == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]
    elif obj["kind"] == "AnalysisTemplate":
        for metric in spec["metrics"]:
            if "job" in metric["provider"]:
                yield metric["provider"]["job"]["spec"]["template"]


def bounds_missing(containers: Iterable[tuple[str, Object]]) -> list[str]:
    """What is not said of each container; the first of a pair says where it is."""
    return [
        f"{where}: set {bound}.{what}"
        for where, container in containers
        for bound in ("requests", "limits")
        for what in ("cpu", "memory")
        if dig(container, "resources", bound, what) is None
    ]
