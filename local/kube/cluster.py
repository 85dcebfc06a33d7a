"""The kind cluster: made, reached, loaded with images, deprived of a node, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from local.kube import kind_config, programs
from local.kube.environment import Environment
from local.processes import commands
from local.processes.errors import StackError
from local.processes.waiting import wait_until

NODES_READY_SECONDS = 120.0
# Between a node and all others; what its pods say to each other goes on.
_CUT = """
table inet once_cut {
    chain in { type filter hook prerouting priority -300; iifname "eth0" drop; }
    chain out { type filter hook postrouting priority 300; oifname "eth0" drop; }
}
"""
# To and from the pods of a node; what is open already says nothing more either.
_MUTE = """
table inet once_mute {{
    chain forward {{
        type filter hook forward priority -10;
        tcp dport {ports} drop
        tcp sport {ports} drop
    }}
}}
"""


class Cluster:
    """One kind cluster in its environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.docker = environment.docker
        self.kubeconfig = environment.state / "kubeconfig"

    def exists(self) -> bool:
        """Whether the cluster is there."""
        return kind_config.NAME in self._kind("get", "clusters").split()

    def create(self, node_image: str | None) -> None:
        """Create it and return when all nodes are ready. Raises StackError."""
        environment, state = self._environment, self._environment.state
        encryption, config = state / "encryption.json", state / "kind.json"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind_config.write_encryption(encryption)
        kind_config.write(
            config,
            address=environment.address,
            encryption=encryption,
            more=environment.additions(node_image),
        )
        try:
            self._kind("create", "cluster", "--config", str(config))
            environment.after_create(self)
            wait_until(
                self._ready, what="the nodes", timeout_seconds=NODES_READY_SECONDS
            )
        except BaseException:
            self.delete()
            raise

    def delete(self) -> None:
        """Delete it; nothing when it is not there."""
        if not programs.command("kind").exists():
            return
        self._kind("delete", "cluster", "--name", kind_config.NAME)
        self.kubeconfig.unlink(missing_ok=True)

    def load(self, *images: str) -> None:
        """Bring images of the engine to the workers."""
        named = ["--name", kind_config.NAME, "--nodes", ",".join(self.workers())]
        self._kind("load", "docker-image", *named, *images)

    def nodes(self) -> list[str]:
        """The names of all nodes, which are containers of the same names."""
        named = ["--name", kind_config.NAME]
        return sorted(self._kind("get", "nodes", *named).split())

    def workers(self) -> list[str]:
        """Those that run pods of ours."""
        return [name for name in self.nodes() if "worker" in name]

    def kill_node(self, name: str) -> None:
        """As if its power had been cut: every process of it dies at once."""
        self.docker.run("kill", "--signal", "KILL", name)

    def start_node(self, name: str) -> None:
        """Power is back; returns when all nodes are ready. Raises StackError."""
        self.docker.run("start", name)
        self._environment.after_start(self)
        wait_until(self._ready, what="the nodes", timeout_seconds=NODES_READY_SECONDS)

    def wait_lost(self, name: str) -> None:
        """Until the cluster has noticed that a node is away. Raises StackError."""
        wait_until(
            lambda: not self._ready(name),
            what=f"{name} to be missed",
            timeout_seconds=NODES_READY_SECONDS,
            interval_seconds=1.0,
        )

    def cut_off(self, name: str) -> None:
        """As if its cable had been cut: it works on, and nobody hears of it."""
        self.docker.run("exec", "--interactive", name, "nft", "-f", "-", stdin=_CUT)

    def reconnect(self, name: str) -> None:
        """The cable is whole; returns when all nodes are ready. Raises StackError."""
        self.docker.run("exec", name, "nft", "delete", "table", "inet", "once_cut")
        wait_until(self._ready, what="the nodes", timeout_seconds=NODES_READY_SECONDS)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; what it prints. Raises StackError."""
        return commands.run(
            [str(programs.command("kubectl")), *arguments],
            f"kubectl {' '.join(arguments[:4])}",
            environment={"KUBECONFIG": str(self.kubeconfig)},
            stdin=stdin,
        )

    def get(self, *arguments: str) -> Any:
        """`kubectl get` as Python data. Raises StackError."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    @contextmanager
    def mute(self, ports: str) -> Iterator[None]:
        """While the block runs, no pod of a worker answers on these, as in `1-99`.

        What listens there works on. Raises StackError.
        """
        with ExitStack() as healing:
            for name in self.workers():
                enter = ("exec", "--interactive", name, "nft")
                said = _MUTE.format(ports=ports)
                self.docker.run(*enter, "-f", "-", stdin=said)
                healing.callback(
                    self.docker.run, *enter, "delete", "table", "inet", "once_mute"
                )
            yield

    def apply(self, *documents: dict[str, Any], namespace: str = "") -> None:
        """Apply these, whoever else owns their fields. Raises StackError.

        `namespace`, if given, is that of all which have one.
        """
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        command = ["apply", "--server-side", "--force-conflicts", "--filename=-"]
        spaced = ["--namespace", namespace] if namespace else []
        self.kubectl(*command, *spaced, stdin=json.dumps(listed))

    def _ready(self, *names: str) -> bool:
        """Whether these nodes are, or all."""
        return all(
            condition["status"] == "True"
            for node in self.get("nodes")["items"]
            if not names or node["metadata"]["name"] in names
            for condition in node["status"].get("conditions", [])
            if condition["type"] == "Ready"
        )

    def _kind(self, *arguments: str) -> str:
        # The ports that it looks for are those of the engine.
        command = self._environment.enter([str(programs.command("kind")), *arguments])
        settings = {**self.docker.environment, "KUBECONFIG": str(self.kubeconfig)}
        done = commands.attempt(command, environment=settings)
        if done.returncode != 0:
            said = done.stderr.partition("Stack Trace")[0].strip()[-800:]
            raise StackError(f"kind {' '.join(arguments[:2])}: {said}")
        return done.stdout
