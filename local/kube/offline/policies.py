"""NetworkPolicies as rules of each node's packet filter: the bridge enforces none.

A policy that selects a pod closes it in a direction, and every rule of every policy
that selects it opens a way. Who begins a connection is judged on its own node, who is
asked on its; what both let through passes, and so do the answers. What comes to a pod
from elsewhere than from pods (a node's kubelet, this machine) is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from local.kube.api import Object
from local.kube.kind_config import POD_SUBNET
from local.kube.selectors import Labels, selects

TABLE = "once_policies"
INGRESS, EGRESS = "Ingress", "Egress"
# Of a direction: where the other side's address and our own stand in a packet.
_THEIRS = {INGRESS: "saddr", EGRESS: "daddr"}
_OURS = {INGRESS: "daddr", EGRESS: "saddr"}
# A finished pod's address may be somebody else's already.
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Seen:
    """What the API server says now."""

    policies: Sequence[Object]
    pods: Sequence[Object]
    namespaces: Mapping[str, Labels]  # the labels of each


def rules(seen: Seen, node: str) -> str:
    """What `nft -f` takes, for the pods of a node: in the place of what was there."""
    mine = [pod for pod in _with_address(seen.pods) if pod["spec"]["nodeName"] == node]
    chains, ways = [], []
    for pod in mine:
        address = pod["status"]["podIP"]
        for direction in (INGRESS, EGRESS):
            closing = _closing(seen.policies, pod, direction)
            if not closing:
                continue
            chain = f"{direction.lower()}_{address.replace('.', '_')}"
            opened = [
                f"        {way}"
                for policy in closing
                for rule in policy["spec"].get(direction.lower(), [])
                for way in _ways(rule, policy, direction, seen)
            ]
            body = "\n".join([*dict.fromkeys(opened), "        drop"])
            chains.append(f"    chain {chain} {{\n{body}\n    }}")
            ways.append(f"        ip {_OURS[direction]} {address} jump {chain}")
    parts = [
        f"table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        *chains,
        "    chain forward {",
        "        type filter hook forward priority filter; policy accept;",
        "        ct state established,related accept",
        # Not by a pod: a node's programs and this machine reach every pod.
        f"        ip saddr != {POD_SUBNET} accept",
        *ways,
        "    }",
        "}",
    ]
    return "\n".join(parts) + "\n"


def _with_address(pods: Sequence[Object]) -> Iterator[Object]:
    """Those with an address of their own, which is not their node's."""
    for pod in pods:
        status = pod.get("status", {})
        over = status.get("phase") in _OVER or not status.get("podIP")
        if not over and not pod["spec"].get("hostNetwork"):
            yield pod


def _closing(policies: Sequence[Object], pod: Object, direction: str) -> list[Object]:
    labels = pod["metadata"].get("labels", {})
    return [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"].get("podSelector", {}), labels)
    ]


def _ways(rule: Object, policy: Object, direction: str, seen: Seen) -> Iterator[str]:
    """What a rule opens: for each set of addresses and each port, one way."""
    sides = rule.get("from" if direction == INGRESS else "to", [])
    home = policy["metadata"]["namespace"]
    wheres = [_where(side, home, direction, seen) for side in sides] if sides else [""]
    for where in wheres:
        if where is None:
            continue
        for port in rule.get("ports") or [{}]:
            yield " ".join(part for part in (where, _port(port), "return") if part)


def _where(side: Object, home: str, direction: str, seen: Seen) -> str | None:
    """The match of one side's addresses; None where nobody is meant."""
    theirs = f"ip {_THEIRS[direction]}"
    if block := side.get("ipBlock"):
        said = f"{theirs} {block['cidr']}"
        if excepted := block.get("except"):
            said += f" {theirs} != {{ {', '.join(excepted)} }}"
        return said
    spaces = {home}
    if (of := side.get("namespaceSelector")) is not None:
        named = seen.namespaces.items()
        spaces = {name for name, labels in named if selects(of, labels)}
    addresses = sorted(
        pod["status"]["podIP"]
        for pod in _with_address(seen.pods)
        if pod["metadata"]["namespace"] in spaces
        and selects(side.get("podSelector", {}), pod["metadata"].get("labels", {}))
    )
    return f"{theirs} {{ {', '.join(addresses)} }}" if addresses else None


def _port(port: Object) -> str:
    """The match of a port; what has a protocol only means all of its ports."""
    if not port:
        return ""
    protocol = port.get("protocol", "TCP").lower()
    if "port" not in port:
        return f"meta l4proto {protocol}"
    until = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{protocol} dport {port['port']}{until}"
