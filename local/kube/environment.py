"""Where a local cluster runs: with Docker and registries, or without (offline/).

folder/kind            WithDocker: images are pulled, operators run Kafka and Postgres
folder/kind-offline    Offline: all of it is built here, and a stand-in runs the pods
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from local.kube.docker import Docker
from local.kube.port_forward import LOOPBACK, forwarded
from local.kube.programs import Notify

VARIABLE = "KIND_OFFLINE"  # asks for Offline, also where an engine runs

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Additions:
    """What kind's configuration has more here, section by section."""

    node: Section = field(default_factory=dict)
    networking: Section = field(default_factory=dict)
    cluster: Section = field(default_factory=dict)


class Kubectl(Protocol):
    """Of a cluster, what an environment needs to add to it."""

    @property
    def docker(self) -> Docker:
        """The client of the engine that its nodes run in."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; what it prints. Raises StackError."""

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply these, whoever else owns their fields. Raises StackError."""

    def get(self, *arguments: str) -> Any:
        """`kubectl get` as Python data. Raises StackError."""


class Environment(Protocol):
    """All that differs."""

    name: str  # of the overlay that is deployed, and of the folder of its state
    how: str  # it is chosen
    state: Path
    docker: Docker
    address: str  # where the API server and published ports listen
    images: Mapping[str, str]  # ours for those that are pulled elsewhere

    def start_engine(self) -> None:
        """Start an engine, where none is found. Raises StackError, MissingPart."""

    def engine_runs(self) -> bool:
        """Whether a cluster may be there."""

    def reach_leftovers(self) -> bool:
        """Whether there may be something to delete, which a killed run has left."""

    def stop_engine(self) -> None:
        """Stop what `start_engine` has started."""

    def node_image(self, notify: Notify) -> str | None:
        """kind's node image, made when it is missing; None lets kind pull its own."""

    def dockerfile(self, text: str, notify: Notify) -> str:
        """A Dockerfile of ours as it can be built here."""

    def additions(self, node_image: str | None) -> Additions:
        """To kind's configuration."""

    def enter(self, command: list[str]) -> list[str]:
        """The command line that runs `command` where the engine's ports are."""

    def after_create(self, cluster: Kubectl) -> None:
        """What nodes need before they can be ready."""

    def after_start(self, cluster: Kubectl) -> None:
        """What a node that was started again has lost."""

    def reach(
        self, cluster: Kubectl, service: str, port: int
    ) -> AbstractContextManager[str]:
        """`host:port` at which this machine reaches a Service of ours, meanwhile."""

    def start_beside(self, cluster: Kubectl) -> None:
        """Start what runs beside the cluster, and leave it running."""

    def stop_beside(self) -> None:
        """Stop it, and remove its data."""


class WithDocker:
    """The engine is there, and pulls what it needs."""

    name = "kind"
    how = f"unset {VARIABLE} and start Docker"
    address = LOOPBACK
    images: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.state = folder.resolve() / self.name
        self.docker = Docker()

    def start_engine(self) -> None:
        """Nothing: it answered."""

    def engine_runs(self) -> bool:
        """As a machine with Docker does."""
        return True

    def reach_leftovers(self) -> bool:
        """Whoever has stopped the engine starts it again."""
        return True

    def stop_engine(self) -> None:
        """It is not ours to stop."""

    def node_image(self, notify: Notify) -> None:
        """kind pulls its own."""

    def dockerfile(self, text: str, notify: Notify) -> str:
        """As it is: its base can be pulled."""
        return text

    def additions(self, node_image: str | None) -> Additions:
        """None."""
        return Additions()

    def enter(self, command: list[str]) -> list[str]:
        """As it is: they are this machine's."""
        return command

    def after_create(self, cluster: Kubectl) -> None:
        """Nothing: kind has a network plug-in."""

    def after_start(self, cluster: Kubectl) -> None:
        """Nothing."""

    def reach(
        self, cluster: Kubectl, service: str, port: int
    ) -> AbstractContextManager[str]:
        """By a port of the loopback address: the cluster's own lie in a machine of
        Docker's, on some machines."""
        return forwarded(self.state / "kubeconfig", service, port)

    def start_beside(self, cluster: Kubectl) -> None:
        """Nothing: operators run all of it inside."""

    def stop_beside(self) -> None:
        """Nothing."""
