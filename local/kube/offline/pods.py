"""The network of pods, where the plug-in of kind is an image that cannot be had."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from local.kube.environment import Kubectl
from local.kube.kind_config import POD_SUBNET
from local.kube.offline import network

# A pod keeps its address among pods. Outside, nobody knows the way back to it.
_MASQUERADE = f"""
table ip once_pods
delete table ip once_pods
table ip once_pods {{
    chain out {{
        type nat hook postrouting priority srcnat;
        ip saddr {POD_SUBNET} ip daddr != {POD_SUBNET} masquerade;
    }}
}}
"""
CNI_FILE = "/etc/cni/net.d/10-once.conflist"


@dataclass(frozen=True)
class _Node:
    name: str
    subnet: str  # of its pods
    address: str


def connect(cluster: Kubectl) -> None:
    """A bridge on every node, and routes between them: the simplest network.

    It carries packets and nothing more; policies.py filters them.
    """
    nodes = [_node(found) for found in cluster.get("nodes")["items"]]
    for node in nodes:
        network.reach_pods(node.subnet, node.address)
        plugins = json.dumps(_plugins(node.subnet))
        write = ("exec", "--interactive", node.name, "tee", CNI_FILE)
        cluster.docker.run(*write, stdin=plugins)
        for other in nodes:
            if other is not node:
                route = ("ip", "route", "replace", other.subnet, "via", other.address)
                cluster.docker.run("exec", node.name, *route)
        inside = ("exec", "--interactive", node.name)
        cluster.docker.run(*inside, "nft", "-f", "-", stdin=_MASQUERADE)
    control_plane = next(node for node in nodes if "control-plane" in node.name)
    network.reach_services(control_plane.address)


def settle_names(cluster: Kubectl) -> None:
    """The name server lives where no test kills a node, as in kind, and asks nobody.

    None answers outside, and waiting for one costs 4 s each time.
    """
    spaced = ("--namespace", "kube-system")
    found = cluster.get("configmap", "coredns", *spaced)
    core = found["data"]["Corefile"]
    inside = re.sub(r"\n *forward [^{]*\{[^}]*\}", "", core)
    patch = json.dumps({"data": {"Corefile": inside}})
    cluster.kubectl("patch", "configmap/coredns", f"--patch={patch}", *spaced)
    place = {"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}}
    moved = json.dumps({"spec": {"template": {"spec": place}}})
    cluster.kubectl("patch", "deployment/coredns", f"--patch={moved}", *spaced)


def _node(found: dict[str, Any]) -> _Node:
    addresses = found["status"]["addresses"]
    return _Node(
        name=found["metadata"]["name"],
        subnet=found["spec"]["podCIDR"],
        address=next(a["address"] for a in addresses if a["type"] == "InternalIP"),
    )


def _plugins(subnet: str) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "once", "plugins": [bridge, portmap]}
