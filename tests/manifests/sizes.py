"""What an environment asks of its cluster: requests, limits, volumes.

    python -m tests.manifests.sizes       # the table of docs/kubernetes.md

What runs all the time, with as few workers as KEDA leaves. Not counted: operators and
Argo CD, jobs, a second Store while a new one is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.manifests.overlays import Object, dig, environment, kinds
from tests.manifests.pods import pods

GIB = 1 << 30
UNITS = {"m": 0.001, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
KAFKA_PARTS = (
    ("cruiseControl",),
    ("kafkaExporter",),
    ("entityOperator", "topicOperator"),
    ("entityOperator", "userOperator"),
)
BACKUPS = ("backups", "pgbackrest")
# kind-offline is kind with less: no operators, backups, Cruise Control.
SHOWN = ("kind", "dev", "test", "production")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Cores, bytes of memory, bytes of volumes."""

    cpu: float = 0.0
    cpu_max: float = 0.0
    memory: float = 0.0
    memory_max: float = 0.0
    volumes: float = 0.0

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(
            cpu=self.cpu + other.cpu,
            cpu_max=self.cpu_max + other.cpu_max,
            memory=self.memory + other.memory,
            memory_max=self.memory_max + other.memory_max,
            volumes=self.volumes + other.volumes,
        )

    def __mul__(self, count: int) -> Sizes:
        return sum((self for _ in range(count)), Sizes())


def sizes(objects: list[Object]) -> Sizes:
    """The sum over all parts of an environment."""
    return sum(_parts(objects), Sizes())


def row(name: str) -> str:
    """An environment's row of the table."""
    of = sizes(environment(name))
    return (
        f"| `{name}` | {of.cpu:.1f}, {of.cpu_max:.0f} "
        f"| {of.memory / GIB:.0f}, {of.memory_max / GIB:.0f} GiB "
        f"| {of.volumes / GIB:.0f} GiB |"
    )


def quantity(said: Any) -> float:
    """A number as Kubernetes writes it: 250m, 2, 512Mi."""
    text = str(said)
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def _parts(objects: list[Object]) -> Iterator[Sizes]:
    fewest = {
        scaled["spec"]["scaleTargetRef"]["name"]: scaled["spec"]["minReplicaCount"]
        for scaled in kinds(objects, "ScaledObject")
    }
    for pod in pods(objects):
        if pod.is_long_running:
            name, spec = pod.owner["metadata"]["name"], pod.owner["spec"]
            yield _sum(pod.spec["containers"]) * fewest.get(
                name, spec.get("replicas", 1)
            )
    for pool in kinds(objects, "KafkaNodePool"):
        disks = sum(
            (_disk(volume["size"]) for volume in pool["spec"]["storage"]["volumes"]),
            Sizes(),
        )
        yield (_sum([pool["spec"]]) + disks) * pool["spec"]["replicas"]
    for kafka in kinds(objects, "Kafka"):
        yield _sum(dig(kafka, "spec", *way) or {} for way in KAFKA_PARTS)
    for cluster in kinds(objects, "PostgresCluster"):
        yield from _of_postgres(cluster["spec"])
    for claim in kinds(objects, "PersistentVolumeClaim"):
        yield _claimed(claim["spec"])
    for app in kinds(objects, "Application"):
        if app["metadata"]["name"] == "monitoring":
            yield _of_monitoring(app["spec"]["source"]["helm"]["valuesObject"])


def _of_postgres(spec: Object) -> Iterator[Sizes]:
    collector = [spec["instrumentation"]] if "instrumentation" in spec else []
    backups = dig(spec, *BACKUPS) or {}
    beside = list(backups.get("sidecars", {}).values())
    for each in spec["instances"]:
        sidecars = [*each.get("sidecars", {}).values(), *beside, *collector]
        disk = _claimed(each["dataVolumeClaimSpec"])
        yield (_sum([each, *sidecars]) + disk) * each["replicas"]
    bouncer = dig(spec, "proxy", "pgBouncer") or {}
    sidecars = [*bouncer.get("sidecars", {}).values(), *collector]
    yield _sum([bouncer, *sidecars]) * bouncer.get("replicas", 0)
    yield _sum([backups["repoHost"], backups["sidecars"]["pgbackrestConfig"]])
    for repo in backups["repos"]:
        if "volume" in repo:
            yield _claimed(repo["volume"]["volumeClaimSpec"])


def _of_monitoring(values: Object) -> Sizes:
    spec = values["prometheus"]["prometheusSpec"]
    template = dig(spec, "storageSpec", "volumeClaimTemplate", "spec") or {}
    alerts = values["alertmanager"]["alertmanagerSpec"]
    prometheus: Sizes = (_sum([spec]) + _claimed(template)) * spec["replicas"]
    return prometheus + _sum([alerts]) * int(alerts["replicas"])


def _sum(bounded: Iterator[Object] | list[Object]) -> Sizes:
    """Of whatever has `resources`."""
    return sum((_bounds(each.get("resources") or {}) for each in bounded), Sizes())


def _bounds(resources: Mapping[str, Mapping[str, Any]]) -> Sizes:
    asked, most = resources.get("requests", {}), resources.get("limits", {})
    return Sizes(
        cpu=quantity(asked.get("cpu", 0)),
        cpu_max=quantity(most.get("cpu", 0)),
        memory=quantity(asked.get("memory", 0)),
        memory_max=quantity(most.get("memory", 0)),
    )


def _claimed(spec: Object) -> Sizes:
    return _disk(dig(spec, "resources", "requests", "storage") or 0)


def _disk(said: Any) -> Sizes:
    return Sizes(volumes=quantity(said))


if __name__ == "__main__":
    print("\n".join(map(row, SHOWN)))
