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

from local.kube.docker import Docker, offline_is_wanted
from local.kube.offline import network
from local.kube.site import state_folder
from tests.fix_stack import ROOT

LABEL = {"once.tests": "images"}  # of all that is made here
_MARKED = f"--filter=label={'='.join(*LABEL.items())}"


@dataclass(frozen=True)
class Engine:
    """`address` is this machine's, as containers see it, and they come from `sources`.

    Ports that they publish are at `published`.
    """

    docker: Docker
    network: Network
    address: str
    sources: str
    published: str


@contextmanager
def running_engine() -> Iterator[Engine]:
    """One that runs, with a network for these tests; it is left as it was found."""
    # It removes what a killed session left behind, by an image that is not to be had.
    testcontainers_config.ryuk_disabled = True
    offline = offline_is_wanted()
    docker = Docker(ROOT / state_folder(offline), offline)
    was_running = docker.process.is_running() or not docker.ours
    docker.start()
    os.environ.update(docker.environment)
    _remove_all(docker)
    try:
        with Network(docker_network_kw={"labels": LABEL}) as own:
            yield _engine(docker, own)
    finally:
        _remove_all(docker)
        for name in docker.environment:
            del os.environ[name]
        if not was_running and not docker.run("ps", "--quiet").strip():
            docker.stop()


def _engine(docker: Docker, own: Network) -> Engine:
    if docker.ours:
        meeting = (network.HOST, network.CIDR, network.INSIDE)
        return Engine(docker, own, *meeting)
    form = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}"
    gateway, subnet = docker.run("network", "inspect", "-f", form, own.name).split()
    return Engine(docker, own, gateway, subnet, "127.0.0.1")


def _remove_all(docker: Docker) -> None:
    """All containers of these tests, with their networks."""
    left = docker.run("ps", "--all", "--quiet", _MARKED).split()
    if left:
        docker.run("rm", "--force", "--volumes", *left)
    docker.run("network", "prune", "--force", _MARKED)
