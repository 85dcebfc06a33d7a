"""NetworkPolicies, worked out on paper: who may open a connection to whom.

Here is what a network that enforces them would let through: a policy that selects a pod
closes it in that direction, and every rule of every policy that selects it opens a way.
tests/kind/test_network.py holds it against real packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from local.kube.selectors import Labels, selects
from tests.manifests.overlays import Object, kinds, named
from tests.manifests.pods import pods

NAMESPACE = "once"
PART, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
STRIMZI, PGO = "strimzi.io/", "postgres-operator.crunchydata.com/"


@dataclass(frozen=True)
class Peer:
    """Pods that are alike, or an address outside of the cluster."""

    name: str
    namespace: str = ""
    labels: Labels = field(default_factory=dict)
    address: str = ""
    of_namespace: Labels = field(default_factory=dict)  # its labels, beside its name


OUTSIDE = [
    Peer("dns", "kube-system", {"k8s-app": "kube-dns"}),
    Peer("prometheus", "monitoring", {PART: "prometheus"}),
    Peer("strimzi", "strimzi", {f"{STRIMZI}kind": "cluster-operator"}),
    Peer("pgo", "postgres-operator", {PART: "pgo"}),
    Peer("cert-manager", "cert-manager", {PART: "cert-manager"}),
    Peer(
        "gateway",
        "envoy-gateway",
        {"gateway.envoyproxy.io/owning-gateway-name": "once"},
    ),
    Peer("stranger", "default", {PART: "bank"}),
    Peer("nobody", NAMESPACE, {}),
    Peer("internet", address="198.51.100.7"),
    Peer("metadata", address="169.254.169.254"),
    Peer("api-server", address="10.96.0.1"),
    Peer("machine", address="10.79.0.1"),
]


def peers(objects: list[Object]) -> list[Peer]:
    """Everybody in and around the namespace: our pods, the operators', strangers."""
    found = [Peer(p.name, p.namespace, p.labels) for p in pods(objects)]
    for kafka in kinds(objects, "Kafka"):
        found += _strimzi(kafka["metadata"]["name"])
    for cluster in kinds(objects, "PostgresCluster"):
        extra = cluster["spec"]["metadata"]["labels"]
        found += _pgo(cluster["metadata"]["name"], extra)
    if kinds(objects, "ClusterIssuer"):
        solver = {"acme.cert-manager.io/http01-solver": "true"}
        found.append(Peer("acme-solver", NAMESPACE, solver))
    return [*found, *OUTSIDE]


def insiders(objects: list[Object]) -> list[Peer]:
    """The pods in the namespace that somebody of ours or of the operators' asks for."""
    found = [peer for peer in peers(objects) if peer.namespace == NAMESPACE]
    return [peer for peer in found if peer.labels]


def egress(objects: list[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the source's own policies let it out to there."""
    return _opens(objects, "Egress", source, target, port)


def ingress(objects: list[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the target's own policies let it in from there."""
    return _opens(objects, "Ingress", target, source, port)


def allowed(objects: list[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether a connection is let out and let in."""
    out = egress(objects, source, target, port)
    return out and ingress(objects, source, target, port)


def policies_of(objects: list[Object], peer: Peer, direction: str) -> list[Object]:
    """The policies that close a pod in a direction."""
    return [
        policy
        for policy in kinds(objects, "NetworkPolicy")
        if policy["metadata"]["namespace"] == peer.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], peer.labels)
    ]


def rules(policy: Object, direction: str) -> list[Object]:
    """The rules of a policy in a direction."""
    found: list[Object] = policy["spec"].get(direction.lower(), [])
    return found


def sides(rule: Object) -> list[Object]:
    """The other side of a rule; none means everybody."""
    found: list[Object] = [*rule.get("from", []), *rule.get("to", [])]
    return found


def matches(side: Object, peer: Peer, home: str) -> bool:
    """Whether one side of a rule, of a policy in namespace `home`, means this peer."""
    if "ipBlock" in side:
        return bool(peer.address) and _contains(side["ipBlock"], peer.address)
    if not peer.namespace:
        return False
    if "namespaceSelector" in side:
        name = {"kubernetes.io/metadata.name": peer.namespace}
        space = {**peer.of_namespace, **name}
        if not selects(side["namespaceSelector"], space):
            return False
    elif peer.namespace != home:
        return False
    return selects(side.get("podSelector", {}), peer.labels)


def ports(objects: list[Object]) -> list[int]:
    """Every port that some rule names."""
    found = {
        port["port"]
        for policy in kinds(objects, "NetworkPolicy")
        for direction in ("Ingress", "Egress")
        for rule in rules(policy, direction)
        for port in rule.get("ports", [])
    }
    assert all(isinstance(port, int) for port in found), "a port by name is not known"
    return sorted(found)


def _opens(
    objects: list[Object], direction: str, own: Peer, other: Peer, port: int
) -> bool:
    closing = policies_of(objects, own, direction)
    return not closing or any(
        _covers(rule, port)
        and (
            not sides(rule) or any(_means(side, policy, other) for side in sides(rule))
        )
        for policy in closing
        for rule in rules(policy, direction)
    )


def _means(side: Object, policy: Object, peer: Peer) -> bool:
    return matches(side, peer, policy["metadata"]["namespace"])


def _covers(rule: Object, port: int) -> bool:
    named_ports = rule.get("ports")
    return not named_ports or any(
        each["port"] <= port <= each.get("endPort", each["port"])
        for each in named_ports
    )


def _contains(block: Object, address: str) -> bool:
    where = ip_address(address)
    excepted = any(where in ip_network(each) for each in block.get("except", []))
    return where in ip_network(block["cidr"]) and not excepted


def _strimzi(cluster: str) -> Iterator[Peer]:
    """The pods that Strimzi makes for a Kafka object, by the labels that it gives."""
    roles = {
        "broker": (
            "kafka",
            "kafka",
            {"broker-role": "true", "controller-role": "false"},
        ),
        "controller": (
            "kafka",
            "kafka",
            {"broker-role": "false", "controller-role": "true"},
        ),
        "entity-operator": ("entity-operator", "entity-operator", {}),
        "cruise-control": ("cruise-control", "cruise-control", {}),
        "kafka-exporter": ("kafka-exporter", "kafka-exporter", {}),
    }
    for name, (part, strimzi_name, extra) in roles.items():
        own = {"cluster": cluster, "name": f"{cluster}-{strimzi_name}", **extra}
        labels = {f"{STRIMZI}{key}": value for key, value in own.items()}
        ours = {PART: part, "app.kubernetes.io/part-of": "once"}
        yield Peer(name, NAMESPACE, {**labels, **ours})


def _pgo(cluster: str, extra: Labels) -> Iterator[Peer]:
    """The pods that PGO makes for a PostgresCluster, by the labels that it gives."""
    roles = {
        "postgres": {"instance-set": "main", "data": "postgres", "role": "master"},
        "pgbouncer": {"role": "pgbouncer"},
        "pgbackrest": {"pgbackrest": "", "pgbackrest-dedicated": ""},
        "backup": {"pgbackrest": "", "pgbackrest-backup": "scheduled"},
    }
    for name, own in roles.items():
        known = {f"{PGO}{key}": value for key, value in own.items()}
        yield Peer(name, NAMESPACE, {**extra, f"{PGO}cluster": cluster, **known})


def describe(policy: Object, direction: str) -> str:
    """How a finding names one direction of a policy."""
    return f"{named(policy)}: {direction.lower()}"
