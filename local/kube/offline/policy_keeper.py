"""Keeps the packet filter of each node as the NetworkPolicies want it now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from local.kube.api import Api, Object
from local.kube.docker import Docker
from local.kube.offline import policies
from local.kube.offline.policies import Seen
from local.processes.errors import StackError

PAUSE_SECONDS = 1.0


class PolicyKeeper:
    """A thread that looks at policies and pods, again and again."""

    def __init__(self, kubeconfig: Path, docker: Docker, leaving: threading.Event):
        self._kubeconfig = kubeconfig
        self._docker = docker
        self._leaving = leaving
        # By node: since when it is ready, and its rules. One that was started anew has
        # lost them.
        self._kept: dict[str, tuple[str, str]] = {}

    def run(self, say: Callable[[str], None]) -> None:
        """Until it leaves; whatever fails is tried again."""
        with closing(Api(self._kubeconfig)) as api:
            while not self._leaving.is_set():
                try:
                    self.round(api)
                except StackError as error:
                    say(f"network policies: {error}")
                self._leaving.wait(PAUSE_SECONDS)

    def round(self, api: Api) -> None:
        """Bring every node that is ready to what is wanted. Raises StackError."""
        seen = Seen(
            policies=api.list("NetworkPolicy", ""),
            pods=api.list("Pod", ""),
            namespaces={
                each["metadata"]["name"]: each["metadata"].get("labels", {})
                for each in api.list("Namespace", "")
            },
        )
        for node in api.list("Node", ""):
            name, since = node["metadata"]["name"], _ready_since(node)
            wanted = (since, policies.rules(seen, name))
            if since and self._kept.get(name) != wanted:
                asked = ("exec", "--interactive", name, "nft", "-f", "-")
                self._docker.run(*asked, stdin=wanted[1])
                self._kept[name] = wanted


def _ready_since(node: Object) -> str:
    """When it became ready; nothing while it is not."""
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            return str(condition["lastTransitionTime"])
    return ""
