"""One local cluster: its parts, and the steps of its life."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console

from local.kube import argo, own_images, programs, secrets
from local.kube.api import Api
from local.kube.cluster import Cluster
from local.kube.docker import OWN, Docker, offline_is_wanted
from local.kube.git_remote import PORT, GitRemote
from local.kube.offline import foreign_images, node_image
from local.kube.offline.outside import Outside
from local.kube.rollout import follow
from local.processes.errors import StackError
from local.stack import DEFAULT_STATE_DIR, StackConfig

LOGS = Path("build/reports/kind")
NEEDED = ("kind", "kubectl")
SYNCED_TIMEOUT_S = 900.0

console = Console(stderr=True, highlight=False)


def state_folder(offline: bool) -> Path:
    """One for each environment: neither may take the other's cluster for its own."""
    return DEFAULT_STATE_DIR / ("kind-offline" if offline else "kind")


class Site:
    """The parts of one local cluster, and the steps of its life."""

    def __init__(self) -> None:
        offline = offline_is_wanted()
        state = state_folder(offline)
        self.state = state
        self.docker = Docker(state, offline)
        self.cluster = Cluster(state, self.docker)
        self.outside = Outside(state)
        self.remote = GitRemote(state)

    @property
    def environment(self) -> str:
        """Which overlay is deployed."""
        return "kind-offline" if self.cluster.offline else "kind"

    def api(self) -> Api:
        """A client of the cluster's API."""
        return Api(self.cluster.kubeconfig)

    def images(self) -> tuple[str | None, list[str]]:
        """Everything that would else be pulled: the node image's name, and ours."""
        node = None
        if self.cluster.offline:
            images = [
                *foreign_images.control_plane(say),
                *foreign_images.platform(StackConfig.jars_dir, say),
            ]
            node = node_image.ensure(self.docker, images, say)
        return node, own_images.build(self.docker, say)

    def up(self) -> None:
        """From nothing to all Applications Synced and Healthy. Raises StackError."""
        with step("programs"):
            programs.ensure(NEEDED, say)
        with step("Docker"):
            self.docker.start()
        with step("images"):
            node, ours = self.images()
        if not self.is_up():
            with step("kind create cluster"):
                self.cluster.delete()  # one that was never finished
                self.cluster.create(node)
        with step("loading our images"):
            self.cluster.load(*ours)
        if self.cluster.offline:
            with step("Kafka and Postgres beside the cluster"):
                self.outside.start()
        with step("Argo CD and Argo Rollouts"):
            argo.install(self.cluster)
            argo.wait_installed(self.cluster)
        with step("secrets"):
            secrets.make(self.cluster, self.state)
        with step("git remote"):
            address = self.cluster.host_address()
            self.remote.start(address)
            argo.point_git(self.cluster, address, PORT)
            revision = self.remote.push_tree(Path.cwd(), own_images.tag(), "kind-up")
        if self.cluster.offline:
            self.outside.stand_in.start()
        with step("Argo CD: all that is in git"):
            argo.bootstrap(self.cluster, self.remote.clone, self.environment)
            self.follow(revision)

    def is_up(self) -> bool:
        """Whether the cluster was made, and its engine runs."""
        runs = not self.docker.ours or self.docker.process.is_running()
        made = self.cluster.kubeconfig.exists()
        return runs and made and self.cluster.exists()

    def require_up(self) -> None:
        """Raises StackError when there is no cluster."""
        if not self.is_up():
            raise StackError(self._what_is_needed())

    def _what_is_needed(self) -> str:
        """One sentence; the other environment may be up, which was not asked for."""
        offline = self.cluster.offline
        asked = f"{OWN}=1 " if offline and os.environ.get(OWN) else ""
        needed = f"run '{asked}make kind-up' first"
        if (state_folder(not offline) / "kubeconfig").exists():
            other = "kind" if offline else "kind-offline"
            how = f"unset {OWN} and start Docker" if offline else f"set {OWN}=1"
            needed += f", or {how} for the cluster of {other}, which was made"
        return f"there is no cluster of {self.environment} here: {needed}"

    def push(self, message: str) -> None:
        """Deploy the working tree: images, a commit, a sync. Raises StackError."""
        with step("images"):
            self.cluster.load(*own_images.build(self.docker, say))
        with step("git push"):
            revision = self.remote.push_tree(Path.cwd(), own_images.tag(), message)
        with step("Argo CD: what was pushed"):
            argo.refresh(self.cluster)
            self.follow(revision)

    def follow(self, revision: str) -> None:
        """Wait until everything of that commit is Synced and Healthy."""
        with closing(self.api()) as api:
            follow(api, revision, say, SYNCED_TIMEOUT_S)

    def down(self) -> None:
        """Leave nothing running and no state; what was built stays in the cache.

        The logs are kept in build/reports/kind.
        """
        self.remote.stop()
        self.outside.stop()
        if self.docker.ours and self.docker.left_containers():
            self.docker.start()  # killed, it could not take its containers along
        if not self.docker.ours or self.docker.process.is_running():
            self.cluster.delete()
        self.docker.stop()
        for log in self.state.rglob("*.log"):
            kept = LOGS / log.relative_to(self.state)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)
        shutil.rmtree(self.state, ignore_errors=True)


def say(doing: str) -> None:
    """Tell a person what is going on."""
    console.print(f"  {doing}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """A step of some minutes: its name, and how long it took."""
    console.print(f"[bold]{name}[/]")
    began = time.monotonic()
    yield
    console.print(f"  [green]done[/] in {time.monotonic() - began:.0f} s")
