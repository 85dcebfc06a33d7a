"""What we tell the operators about the pods that they make for us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.manifests.overlays import Object, dig, kinds, named
from tests.manifests.pods import bounds_missing

KAFKA_PARTS = ("cruiseControl", "entityOperator", "kafkaExporter")
KAFKA_CONTAINERS = (
    ("cruiseControl",),
    ("kafkaExporter",),
    ("entityOperator", "topicOperator"),
    ("entityOperator", "userOperator"),
)
PGO_PARTS = (
    ("proxy", "pgBouncer"),
    ("backups", "pgbackrest", "repoHost"),
    ("backups", "pgbackrest", "jobs"),
)
SIDECARS = (
    ("proxy", "pgBouncer", "sidecars", "pgbouncerConfig"),
    ("backups", "pgbackrest", "sidecars", "pgbackrest"),
    ("backups", "pgbackrest", "sidecars", "pgbackrestConfig"),
)
HOST = "kubernetes.io/hostname"
METRICS_GATE = "OpenTelemetryMetrics=true"


def operated_containers_are_bounded(objects: list[Object]) -> list[str]:
    """Requests and limits, for processor and memory."""
    return bounds_missing(_containers(objects))


def operated_pods_have_a_priority(objects: list[Object]) -> list[str]:
    """A class that exists; without one they give way to everybody."""
    known = {each["metadata"]["name"] for each in kinds(objects, "PriorityClass")}
    return [
        f"{where}: set a priorityClassName that exists"
        for where, said in _pods(objects)
        if said.get("priorityClassName") not in known
    ]


def operated_data_is_spread(objects: list[Object]) -> list[str]:
    """Two copies on one node are one copy."""
    spread = [
        (named(pool), dig(pool, "spec", "template", "pod") or {})
        for pool in kinds(objects, "KafkaNodePool")
    ]
    spread += _instances(objects)
    return [
        f"{where}: {remedy}"
        for where, said in spread
        for key, remedy in (
            ("topologySpreadConstraints", "spread it over the zones"),
            ("affinity", "keep its pods on different nodes"),
        )
        if not said.get(key) or (key == "affinity" and HOST not in str(said[key]))
    ]


def ours_alone_say_where_pods_go(objects: list[Object]) -> list[str]:
    """PGO's own constraints would stand beside ours: two of one key are refused."""
    return [
        f"{named(cluster)}: set disableDefaultPodScheduling"
        for cluster in kinds(objects, "PostgresCluster")
        if not cluster["spec"].get("disableDefaultPodScheduling")
    ]


def backups_can_be_restored(objects: list[Object]) -> list[str]:
    """A restore mounts this twice: no path may be named twice."""
    return [
        f"{named(cluster)}: mount the whole of {kind} {source['name']}"
        for cluster in kinds(objects, "PostgresCluster")
        for each in dig(cluster, "spec", "backups", "pgbackrest", "configuration") or ()
        for kind, source in each.items()
        if "items" in source
    ]


def metrics_have_their_gate(objects: list[Object]) -> list[str]:
    """Without it PGO starts no collector, whatever the cluster asks for."""
    asked = [
        named(cluster)
        for cluster in kinds(objects, "PostgresCluster")
        if "instrumentation" in cluster["spec"]
    ]
    gates = [
        str(each["value"])
        for app in kinds(objects, "Application")
        for each in dig(app, "spec", "source", "helm", "valuesObject", "extraEnv") or ()
        if each["name"] == "PGO_FEATURE_GATES"
    ]
    if any(METRICS_GATE in gate.split(",") for gate in gates):
        return []
    return [f"{name}: its operator lacks {METRICS_GATE}" for name in asked]


def claims_name_their_class(objects: list[Object]) -> list[str]:
    """A cluster may have no default, or one that encrypts nothing."""
    return [
        f"{named(app)}: set storageClassName"
        for app in kinds(objects, "Application")
        for spec in _claims(dig(app, "spec", "source", "helm", "valuesObject"))
        if not spec.get("storageClassName")
    ]


def _claims(said: Any) -> Iterator[Object]:
    """The volume claims in a chart's values, however deep."""
    if isinstance(said, dict):
        template = dig(said, "volumeClaimTemplate", "spec")
        yield from [template] if template else []
        for each in said.values():
            yield from _claims(each)


def _containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for pool in kinds(objects, "KafkaNodePool"):
        yield named(pool), pool["spec"]
    for kafka in kinds(objects, "Kafka"):
        yield from _parts(kafka, KAFKA_CONTAINERS)
    for cluster in kinds(objects, "PostgresCluster"):
        yield from _parts(cluster, (*PGO_PARTS, *SIDECARS))
    yield from _instances(objects)


def _pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for pool in kinds(objects, "KafkaNodePool"):
        yield named(pool), dig(pool, "spec", "template", "pod") or {}
    for kafka in kinds(objects, "Kafka"):
        for part in KAFKA_PARTS:
            where = f"{named(kafka)}: {part}"
            yield where, dig(kafka, "spec", part, "template", "pod") or {}
    for cluster in kinds(objects, "PostgresCluster"):
        yield from _parts(cluster, PGO_PARTS)
    yield from _instances(objects)


def _instances(objects: list[Object]) -> list[tuple[str, Object]]:
    return [
        (f"{named(cluster)}: {instance['name']}", instance)
        for cluster in kinds(objects, "PostgresCluster")
        for instance in cluster["spec"]["instances"]
    ]


def _parts(
    obj: Object, ways: tuple[tuple[str, ...], ...]
) -> Iterator[tuple[str, Object]]:
    for way in ways:
        yield f"{named(obj)}: {'.'.join(way)}", dig(obj, "spec", *way) or {}
