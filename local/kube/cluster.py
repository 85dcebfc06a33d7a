"""The kind cluster: made, reached, loaded with images, deprived of a node, deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from local.kube import kind_config, programs
from local.kube.docker import Docker
from local.kube.offline import network
from local.processes import commands
from local.processes.errors import StackError
from local.processes.waiting import wait_until

LOOPBACK = "127.0.0.1"
NODES_READY_S = 120.0
CNI_FILE = "/etc/cni/net.d/10-once.conflist"


class Cluster:
    """One kind cluster. `offline`: everything in it was built on this machine."""

    def __init__(self, state: Path, docker: Docker) -> None:
        self._state = state.resolve()
        self.docker = docker
        self.offline = docker.ours
        self.kubeconfig = self._state / "kubeconfig"

    @property
    def address(self) -> str:
        """Where the API server and the published ports listen."""
        return network.INSIDE if self.offline else LOOPBACK

    def host_address(self) -> str:
        """This machine, as containers of the cluster reach it."""
        if self.offline:
            return network.HOST
        shown = self.docker.run("network", "inspect", "kind")
        for each in json.loads(shown)[0]["IPAM"]["Config"]:
            if "." in each.get("Gateway", ""):
                return str(each["Gateway"])
        raise StackError("the Docker network 'kind' has no IPv4 gateway")

    def exists(self) -> bool:
        """Whether the cluster is there."""
        return kind_config.NAME in self._kind("get", "clusters").split()

    def create(self, node_image: str | None) -> None:
        """Create it and return when all nodes are ready. Raises StackError."""
        encryption, config = self._state / "encryption.json", self._state / "kind.json"
        kind_config.write_encryption(encryption)
        kind_config.write(config, node_image, self.address, encryption)
        try:
            self._kind("create", "cluster", "--config", str(config))
            if self.offline:
                self._connect_pods()
                self._isolate_names()
            wait_until(
                self._nodes_ready, what="the nodes", timeout_seconds=NODES_READY_S
            )
        except BaseException:
            self.delete()
            raise

    def delete(self) -> None:
        """Delete it; nothing when it is not there."""
        if not programs.path("kind").exists():
            return
        self._kind("delete", "cluster", "--name", kind_config.NAME)
        self.kubeconfig.unlink(missing_ok=True)

    def load(self, *images: str) -> None:
        """Bring images of the engine to the workers."""
        workers = ",".join(name for name in self.nodes() if "worker" in name)
        named = ["--name", kind_config.NAME, "--nodes", workers]
        self._kind("load", "docker-image", *named, *images)

    def nodes(self) -> list[str]:
        """The names of all nodes, which are containers of the same names."""
        named = ["--name", kind_config.NAME]
        return sorted(self._kind("get", "nodes", *named).split())

    def kill_node(self, name: str) -> None:
        """As if its power had been cut: every process of it dies at once."""
        self.docker.run("kill", "--signal", "KILL", name)

    def start_node(self, name: str) -> None:
        """Power is back; returns when all nodes are ready. Raises StackError."""
        self.docker.run("start", name)
        if self.offline:
            self._connect_pods()  # its routes died with it
        wait_until(self._nodes_ready, what="the nodes", timeout_seconds=NODES_READY_S)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; what it prints. Raises StackError."""
        return commands.run(
            [str(programs.path("kubectl")), *arguments],
            f"kubectl {' '.join(arguments[:4])}",
            environment={"KUBECONFIG": str(self.kubeconfig)},
            stdin=stdin,
        )

    def get(self, *arguments: str) -> Any:
        """`kubectl get` as Python data. Raises StackError."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *documents: dict[str, Any], namespace: str = "") -> None:
        """Apply these, whoever else owns their fields. Raises StackError.

        `namespace`, if given, is that of all which have one.
        """
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        command = ["apply", "--server-side", "--force-conflicts", "--filename=-"]
        spaced = ["--namespace", namespace] if namespace else []
        self.kubectl(*command, *spaced, stdin=json.dumps(listed))

    def _nodes_ready(self) -> bool:
        return all(
            condition["status"] == "True"
            for node in self.get("nodes")["items"]
            for condition in node["status"].get("conditions", [])
            if condition["type"] == "Ready"
        )

    def _connect_pods(self) -> None:
        """A bridge on every node, and routes between them: the simplest network.

        It carries packets and nothing more: network policies are not enforced by it.
        """
        nodes = {
            node["metadata"]["name"]: (
                node["spec"]["podCIDR"],
                next(
                    each["address"]
                    for each in node["status"]["addresses"]
                    if each["type"] == "InternalIP"
                ),
            )
            for node in self.get("nodes")["items"]
        }
        for name, (subnet, _) in nodes.items():
            plugins = json.dumps(_plugins(subnet))
            write = ("exec", "--interactive", name, "tee", CNI_FILE)
            self.docker.run(*write, stdin=plugins)
            for other, (its_subnet, its_address) in nodes.items():
                if other != name:
                    route = ("ip", "route", "replace", its_subnet, "via", its_address)
                    self.docker.run("exec", name, *route)
        control_plane = next(name for name in nodes if "control-plane" in name)
        network.reach_services(nodes[control_plane][1])

    def _isolate_names(self) -> None:
        """No name server answers outside, and waiting for one costs 4 s each time."""
        spaced = ("--namespace", "kube-system")
        found = self.get("configmap", "coredns", *spaced)
        core = found["data"]["Corefile"]
        inside = re.sub(r"\n *forward [^{]*\{[^}]*\}", "", core)
        patch = json.dumps({"data": {"Corefile": inside}})
        self.kubectl("patch", "configmap/coredns", f"--patch={patch}", *spaced)
        self.kubectl("rollout", "restart", "deployment/coredns", *spaced)

    def _kind(self, *arguments: str) -> str:
        command = [str(programs.path("kind")), *arguments]
        if self.offline:  # the ports that it looks for are those of the namespace
            command = network.enter(*command)
        settings = {**self.docker.environment, "KUBECONFIG": str(self.kubeconfig)}
        done = commands.attempt(command, environment=settings)
        if done.returncode != 0:
            said = done.stderr.partition("Stack Trace")[0].strip()[-800:]
            raise StackError(f"kind {' '.join(arguments[:2])}: {said}")
        return done.stdout


def _plugins(subnet: str) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,  # outside, nobody knows the way back to a pod
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "once", "plugins": [bridge, portmap]}
