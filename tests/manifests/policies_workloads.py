"""What pods need around them: accounts, priorities, budgets, ports, places."""

from __future__ import annotations

from collections.abc import Iterator

from local.kube.selectors import selects
from tests.manifests.overlays import Object, dig, kinds, named
from tests.manifests.pods import Pod, most_replicas, pods

ZONE, NODE = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
LOST_NODE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
TOLERATION_SECONDS_MAX = 60
TLS_PORTS = {"https"}
PLAIN_PORTS = {"health", "metrics"}
RIGHTS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def no_secret_is_in_git(objects: list[Object]) -> list[str]:
    """Secrets are made in the cluster, or brought by External Secrets."""
    return [f"{named(obj)}: take it out of git" for obj in kinds(objects, "Secret")]


def nobody_is_given_rights(objects: list[Object]) -> list[str]:
    """None of ours talks to the API server."""
    return [
        f"{named(obj)}: nothing of ours needs it" for obj in kinds(objects, *RIGHTS)
    ]


def pods_have_no_token(objects: list[Object]) -> list[str]:
    """Neither the pod nor its account mounts one."""
    asked = [(pod.name, pod.spec) for pod in pods(objects)]
    asked += [(named(each), each) for each in kinds(objects, "ServiceAccount")]
    return [
        f"{name}: set automountServiceAccountToken to false"
        for name, said in asked
        if said.get("automountServiceAccountToken") is not False
    ]


def accounts_exist(objects: list[Object]) -> list[str]:
    """Every pod has an account of its part, never the namespace's default."""
    known = {each["metadata"]["name"] for each in kinds(objects, "ServiceAccount")}
    return [
        f"{pod.name}: add ServiceAccount {pod.spec.get('serviceAccountName')}"
        for pod in pods(objects)
        if pod.spec.get("serviceAccountName") not in known
    ]


def priorities_exist(objects: list[Object]) -> list[str]:
    """Who gives way to whom is said, by a class that is there."""
    known = {each["metadata"]["name"] for each in kinds(objects, "PriorityClass")}
    return [
        f"{pod.name}: add PriorityClass {pod.spec.get('priorityClassName')}"
        for pod in pods(objects)
        if pod.spec.get("priorityClassName") not in known
    ]


def pods_leave_a_lost_node_soon(objects: list[Object]) -> list[str]:
    """Not after the five minutes that Kubernetes would wait."""
    return [
        f"{pod.name}: tolerate {key} for at most {TOLERATION_SECONDS_MAX} s"
        for pod in pods(objects)
        if pod.is_long_running
        for key in LOST_NODE
        if not any(
            said.get("key") == key
            and said.get("effect") == "NoExecute"
            and said.get("tolerationSeconds", TOLERATION_SECONDS_MAX + 1)
            <= TOLERATION_SECONDS_MAX
            for said in pod.spec.get("tolerations", [])
        )
    ]


def replicas_have_a_budget(objects: list[Object]) -> list[str]:
    """One PodDisruptionBudget, not two, for what has more than one pod."""
    found = []
    for pod in pods(objects):
        if not pod.is_long_running or most_replicas(pod, objects) < 2:
            continue
        budgets = [
            named(budget)
            for budget in kinds(objects, "PodDisruptionBudget")
            if budget["metadata"].get("namespace") == pod.namespace
            and selects(budget["spec"]["selector"], pod.labels)
        ]
        if len(budgets) != 1:
            said = ", ".join(budgets) or "none"
            found.append(
                f"{pod.name}: one PodDisruptionBudget must cover it, not {said}"
            )
    return found


def budgets_cover_somebody(objects: list[Object]) -> list[str]:
    """A budget whose selector picks nobody protects nobody."""
    made = pods(objects)
    return [
        f"{named(budget)}: its selector picks no pod"
        for budget in kinds(objects, "PodDisruptionBudget")
        if not any(selects(budget["spec"]["selector"], pod.labels) for pod in made)
    ]


def replicas_are_spread(objects: list[Object]) -> list[str]:
    """Over zones and over nodes, by a selector that picks the pods themselves."""
    return [
        f"{pod.name}: spread it over {topology}"
        for pod in pods(objects)
        if pod.is_long_running
        for topology in (ZONE, NODE)
        if not any(
            said["topologyKey"] == topology
            and selects(said["labelSelector"], pod.labels)
            for said in pod.spec.get("topologySpreadConstraints", [])
        )
    ]


def owners_select_their_pods(objects: list[Object]) -> list[str]:
    """The API server refuses it for a Deployment; a Rollout is only found out later."""
    return [
        f"{pod.name}: its selector does not pick its own pods"
        for pod in pods(objects)
        if pod.is_long_running
        if not selects(pod.owner["spec"]["selector"], pod.labels)
    ]


def container_ports_are_known(objects: list[Object]) -> list[str]:
    """A port is TLS, or is named as one of those that only probes and metrics use."""
    return [
        f"{pod.name}: port {port.get('name', port['containerPort'])} is not TLS;"
        " name it https, health or metrics"
        for pod in pods(objects)
        for container in pod.containers
        for port in container.get("ports", [])
        if port.get("name") not in TLS_PORTS | PLAIN_PORTS
    ]


def services_lead_to_tls(objects: list[Object]) -> list[str]:
    """Each port of a Service leads to a TLS port of pods that exist."""
    found = []
    for service in kinds(objects, "Service"):
        behind = _behind(service, objects)
        if not behind:
            found.append(f"{named(service)}: it leads to no pod")
            continue
        found += [
            f"{named(service)}: port {port['port']} leads to a port without TLS"
            for port in service["spec"]["ports"]
            if not all(_target(port, pod) in TLS_PORTS for pod in behind)
        ]
    return found


def _behind(service: Object, objects: list[Object]) -> list[Pod]:
    """The pods of a Service; a Rollout's Services get their selector from it."""
    selector = service["spec"].get("selector")
    name = service["metadata"]["name"]
    made = pods(objects)
    if selector:
        return [p for p in made if selects({"matchLabels": selector}, p.labels)]
    return [p for p in made if name in _rollout_services(p.owner)]


def _rollout_services(owner: Object) -> Iterator[str]:
    strategy = dig(owner, "spec", "strategy", "blueGreen") or {}
    for key in ("activeService", "previewService"):
        if key in strategy:
            yield str(strategy[key])


def _target(port: Object, pod: Pod) -> str | None:
    """The name of the container's port that a Service's port leads to."""
    wanted = port.get("targetPort", port["port"])
    for container in pod.containers:
        for offered in container.get("ports", []):
            if wanted in (offered.get("name"), offered["containerPort"]):
                return str(offered.get("name"))
    return None
