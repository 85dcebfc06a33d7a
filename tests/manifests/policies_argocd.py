"""What Argo CD may do with our objects, and what it asks first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.manifests.overlays import (
    OVERLAYS,
    Object,
    dig,
    group,
    kinds,
    named,
    rendered,
    wave,
)

OPTIONS = "argocd.argoproj.io/sync-options"
CONFIRM = ("Prune=confirm", "Delete=confirm")
SKIP = "SkipDryRunOnMissingResource=true"
STATEFUL = {
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
    "PostgresCluster",
    "PersistentVolumeClaim",
    "Namespace",
}
CLUSTER_WIDE = {
    "ClusterIssuer",
    "GatewayClass",
    "Namespace",
    "PriorityClass",
    "StorageClass",
}
# Those that Kubernetes brings, and those of Argo CD itself.
ALWAYS_KNOWN = {
    "",
    "apps",
    "batch",
    "networking.k8s.io",
    "policy",
    "scheduling.k8s.io",
    "storage.k8s.io",
}
# Which Application brings which kinds; those of Argo are there before all of them.
BRINGERS = {
    "cert-manager.io": "cert-manager",
    "external-secrets.io": "external-secrets",
    "gateway.envoyproxy.io": "gateway-kinds",
    "gateway.networking.k8s.io": "gateway-kinds",
    "kafka.strimzi.io": "strimzi",
    "keda.sh": "keda",
    "monitoring.coreos.com": "monitoring-kinds",
    "postgres-operator.crunchydata.com": "postgres-operator",
}
BEFORE_ALL = {"argoproj.io"}
LISTS = (
    "sourceRepos",
    "sourceNamespaces",
    "destinations",
    "clusterResourceWhitelist",
    "namespaceResourceWhitelist",
)


def stateful_objects_ask_first(objects: list[Object]) -> list[str]:
    """What holds data is not removed because a file is gone."""
    return [
        f"{named(obj)}: add {option} to its sync options"
        for obj in objects
        if obj["kind"] in STATEFUL
        for option in CONFIRM
        if option not in _options(obj)
    ]


def custom_objects_wait_for_their_kind(objects: list[Object]) -> list[str]:
    """The first sync of all begins before the operators brought their CRDs."""
    return [
        f"{named(obj)}: add {SKIP} to its sync options"
        for obj in objects
        if group(obj) not in ALWAYS_KNOWN
        if obj["kind"] not in ("Application", "AppProject")
        if SKIP not in _options(obj)
    ]


def applications_have_a_project_of_ours(objects: list[Object]) -> list[str]:
    """Not `default`, which may do everything, and none that does not exist."""
    known = {each["metadata"]["name"] for each in kinds(objects, "AppProject")}
    return [
        f"{named(app)}: project {app['spec']['project']} is none of ours"
        for app in kinds(objects, "Application")
        if app["spec"]["project"] not in known - {"default"}
    ]


def the_default_project_allows_nothing(objects: list[Object]) -> list[str]:
    """Argo CD makes it, if nobody does, and allows everything in it."""
    if not kinds(objects, "AppProject"):
        return []
    known = {each["metadata"]["name"]: each for each in kinds(objects, "AppProject")}
    if "default" not in known:
        return ["AppProject/default: write one that allows nothing"]
    spec = known["default"]["spec"]
    return [f"AppProject/default: empty {key}" for key in LISTS if spec.get(key)]


def projects_allow_nothing_by_a_star(objects: list[Object]) -> list[str]:
    """Everything that a project allows is written out."""
    return [
        f"{named(project)}: write {key} out instead of *"
        for project in kinds(objects, "AppProject")
        for key in LISTS
        if any("*" in said for said in _strings(project["spec"].get(key, [])))
    ]


def applications_come_from_known_sources(objects: list[Object]) -> list[str]:
    """Repository and destination are among those that the project lists."""
    projects = _projects(objects)
    found = []
    for app in kinds(objects, "Application"):
        allowed = projects.get(app["spec"]["project"], {})
        repositories = allowed.get("sourceRepos", [])
        found += [
            f"{named(app)}: {allowed_name(app)} does not list {source['repoURL']}"
            for source in _sources(app)
            if source["repoURL"] not in repositories
        ]
        if app["spec"]["destination"] not in allowed.get("destinations", []):
            found.append(f"{named(app)}: {allowed_name(app)} does not list its target")
    return found


def projects_list_what_their_paths_hold(objects: list[Object]) -> list[str]:
    """Each kind that an Application's path renders, and where its objects go."""
    projects = _projects(objects)
    paths = {str(overlay): overlay for overlay in OVERLAYS}
    found = []
    for app in kinds(objects, "Application"):
        allowed = projects.get(app["spec"]["project"], {})
        for source in _sources(app):
            if source.get("path") in paths:
                made = rendered(paths[source["path"]])
                found += [f"{named(app)}: {each}" for each in _unlisted(made, allowed)]
    return sorted(set(found))


def every_kind_has_a_bringer(objects: list[Object]) -> list[str]:
    """An Application brings the kinds of another one's objects in an earlier wave."""
    waves = {
        app["metadata"]["name"]: wave(app) for app in kinds(objects, "Application")
    }
    paths = {str(overlay): overlay for overlay in OVERLAYS}
    found = set()
    for app in kinds(objects, "Application"):
        made = [
            obj
            for source in _sources(app)
            if source.get("path") in paths
            for obj in rendered(paths[source["path"]])
        ]
        for used in {group(obj) for obj in made} - ALWAYS_KNOWN - BEFORE_ALL:
            bringer = BRINGERS.get(used, "nobody")
            if bringer not in waves:
                found.add(f"{named(app)}: {bringer} brings {used}, and is not there")
            elif waves[bringer] >= wave(app):
                found.add(
                    f"{named(app)}: {bringer} brings {used}, and comes no earlier"
                )
    return sorted(found)


def every_path_of_ours_exists(objects: list[Object]) -> list[str]:
    """A path in git that is misspelt is found here, not by Argo CD."""
    paths = {str(overlay) for overlay in OVERLAYS}
    root = {
        source["repoURL"]
        for app in kinds(objects, "Application")
        if app["spec"]["project"] == "root"
        for source in _sources(app)
    }
    return [
        f"{named(app)}: there is no overlay {source['path']}"
        for app in kinds(objects, "Application")
        for source in _sources(app)
        if source["repoURL"] in root and source.get("path") not in paths
    ]


def allowed_name(app: Object) -> str:
    """How a finding names an Application's project."""
    return f"AppProject/{app['spec']['project']}"


def _options(obj: Object) -> list[str]:
    said = dig(obj, "metadata", "annotations", OPTIONS) or ""
    return [option.strip() for option in said.split(",")]


def _projects(objects: list[Object]) -> dict[str, Object]:
    return {
        project["metadata"]["name"]: project["spec"]
        for project in kinds(objects, "AppProject")
    }


def _sources(app: Object) -> list[Object]:
    spec = app["spec"]
    found: list[Object] = spec.get("sources") or [spec["source"]]
    return [source for source in found if "ref" not in source]


def _strings(said: Any) -> Iterator[str]:
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict):
        for inner in said.values():
            yield from _strings(inner)
    elif isinstance(said, list):
        for inner in said:
            yield from _strings(inner)


def _unlisted(made: list[Object], allowed: Object) -> Iterator[str]:
    places = {said["namespace"] for said in allowed.get("destinations", [])}
    for obj in made:
        wide = obj["kind"] in CLUSTER_WIDE
        key = "clusterResourceWhitelist" if wide else "namespaceResourceWhitelist"
        entry = {"group": group(obj), "kind": obj["kind"]}
        if entry not in allowed.get(key, []):
            yield f"{obj['kind']} is not in its project's {key}"
        place = obj["metadata"].get("namespace")
        if not wide and place not in places:
            yield f"{named(obj)} goes to {place}, which its project does not list"
