"""Which of the two environments is meant on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from local.kube.docker import Docker
from local.kube.environment import VARIABLE, Environment, WithDocker
from local.kube.offline.environment import Offline
from local.kube.site import Site
from local.processes.errors import StackError
from local.stack import DEFAULT_STATE_DIR


def environment(folder: Path = DEFAULT_STATE_DIR) -> Environment:
    """Offline where that is asked for, or no engine answers."""
    if os.environ.get(VARIABLE) or not Docker().answers():
        return Offline(folder)
    return WithDocker(folder)


def cluster() -> Site:
    """The cluster of this checkout, which is up. Raises StackError."""
    site = Site(environment())
    require_up(site)
    return site


def require_up(site: Site, folder: Path = DEFAULT_STATE_DIR) -> None:
    """Raises StackError when there is no cluster, with what there is instead."""
    if site.is_up():
        return
    mine = site.environment
    offline = mine.name == Offline.name
    asked = f"{VARIABLE}=1 " if offline and os.environ.get(VARIABLE) else ""
    needed = f"run '{asked}make kind-up' first"
    other = WithDocker if offline else Offline
    if (folder / other.name / "kubeconfig").exists():
        needed += f", or {other.how} for the cluster of {other.name}, which was made"
    raise StackError(f"there is no cluster of {mine.name} here: {needed}")
