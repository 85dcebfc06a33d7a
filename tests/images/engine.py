"""The Docker engine that the images run in, and where it and this machine meet.

It is this machine's own, or ours in a network namespace, which a cluster may share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testcontainers.core.config import testcontainers_config
from testcontainers.core.network import Network

from local.kube import choice
from local.kube.docker import Docker
from local.kube.environment import Environment
from local.kube.offline import network
from local.kube.offline.environment import Offline
from local.stack import DEFAULT_STATE_DIR
from tests.fix_stack import ROOT

LABEL = {"once.tests": "images"}  # of all that is made here
_MARKED = f"--filter=label={'='.join(*LABEL.items())}"


@dataclass(frozen=True)
class Engine:
    """`address` is this machine's, as containers see it, and they come from `sources`.

    Ports that they publish are at `published`.
    """

    environment: Environment
    network: Network
    address: str
    sources: str
    published: str

    @property
    def docker(self) -> Docker:
        """Its client."""
        return self.environment.docker


@contextmanager
def running_engine() -> Iterator[Engine]:
    """One that runs, with a network for these tests; it is left as it was found."""
    # It removes what a killed session left behind, by an image that is not to be had.
    testcontainers_config.ryuk_disabled = True
    environment = choice.environment(ROOT / DEFAULT_STATE_DIR)
    docker = environment.docker
    was_running = environment.engine_runs()
    environment.start_engine()
    os.environ.update(docker.environment)
    _remove_all(docker)
    try:
        with Network(docker_network_kw={"labels": LABEL}) as own:
            yield _engine(environment, own)
    finally:
        _remove_all(docker)
        for name in docker.environment:
            del os.environ[name]
        if not was_running and not docker.run("ps", "--quiet").strip():
            environment.stop_engine()


def _engine(environment: Environment, own: Network) -> Engine:
    docker = environment.docker
    if isinstance(environment, Offline):
        meeting = (network.HOST, network.CIDR, network.INSIDE)
        return Engine(environment, own, *meeting)
    form = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}"
    gateway, subnet = docker.run("network", "inspect", "-f", form, own.name).split()
    return Engine(environment, own, gateway, subnet, "127.0.0.1")


def _remove_all(docker: Docker) -> None:
    """All containers of these tests, with their networks."""
    left = docker.run("ps", "--all", "--quiet", _MARKED).split()
    if left:
        docker.run("rm", "--force", "--volumes", *left)
    docker.run("network", "prune", "--force", _MARKED)
