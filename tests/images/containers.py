"""Containers of our images, as confined as pods are: and without any shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from testcontainers.core.container import DockerContainer

from local.processes.waiting import wait_until
from tests.images.engine import LABEL, Engine

ANY_USER = "54321:54321"  # not the one that the image names
SHELLS = ("/usr/bin/dash", "/usr/bin/bash")
HEALTH = 9000
SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Order:
    """What to run, and with what: folders by the path at which they are mounted."""

    image: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    user: str = ANY_USER
    name: str = ""
    ports: Sequence[int] = ()


@dataclass(frozen=True)
class Ended:
    """How a container ended, and all that it said."""

    status: int
    said: str


class Running:
    """A container that was started."""

    def __init__(self, container: DockerContainer, published: str) -> None:
        self._container = container
        self._published = published

    @property
    def said(self) -> str:
        """All that it has said so far."""
        return b"".join(self._container.get_logs()).decode(errors="replace")

    def address(self, port: int) -> str:
        """Where this machine reaches a port of it."""
        return f"{self._published}:{self._container.get_exposed_port(port)}"

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it."""
        self._container.reload()
        return int(self._container.get_wrapped_container().attrs["State"]["Pid"])

    def wait_ready(self) -> None:
        """Until its /readyz says so."""
        ready = f"http://{self.address(HEALTH)}/readyz"

        def is_ready() -> bool:
            assert self._is_running(), f"it has ended: {self.said}"
            try:
                return httpx.get(ready, timeout=2, trust_env=False).is_success
            except httpx.TransportError:
                return False

        wait_until(is_ready, what=ready, timeout_seconds=SECONDS_MAX)

    def python(self, source: str) -> str:
        """What this program prints inside it."""
        done = self._container.exec(["python3", "-c", source])
        assert done.exit_code == 0, done.output
        return done.output.decode().strip()

    def stop(self) -> Ended:
        """SIGTERM, and how it ended, without SIGKILL."""
        self._container.get_wrapped_container().stop(timeout=int(SECONDS_MAX))
        return self.end()

    def end(self) -> Ended:
        """How it ended, once it has."""
        waited = self._container.get_wrapped_container().wait(timeout=SECONDS_MAX)
        return Ended(int(waited["StatusCode"]), self.said)

    def _is_running(self) -> bool:
        self._container.reload()
        return self._container.status == "running"


@contextmanager
def running(engine: Engine, order: Order) -> Iterator[Running]:
    """Start it, and remove it in the end, whatever happens."""
    container = DockerContainer(order.image)
    container.with_envs(**order.environment).with_exposed_ports(*order.ports)
    container.with_tmpfs_mount("/tmp", "size=256m").with_network(engine.network)
    container.with_network_aliases(order.name or "nobody")
    for place, folder in order.folders.items():
        container.with_volume_mapping(folder, place)
    more = {"entrypoint": list(order.entrypoint)} if order.entrypoint else {}
    container.with_command(list(order.command)).with_kwargs(
        user=order.user,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        labels=LABEL,
        # A mount for each: testcontainers has one place for every source.
        mounts=[{"Type": "bind", "Source": "/dev/null", "Target": s} for s in SHELLS],
        **more,
    )
    with container:
        yield Running(container, engine.published)


def run(engine: Engine, order: Order) -> Ended:
    """Run it to its end."""
    with running(engine, order) as container:
        return container.end()
