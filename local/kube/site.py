"""One local cluster: its parts, and the steps of its life."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from local.kube import argo, own_images, preflight, programs, secrets
from local.kube.api import Api
from local.kube.cluster import Cluster
from local.kube.environment import Environment
from local.kube.git_remote import GitRemote
from local.kube.rollout import follow
from local.kube.steps import say, step
from local.machine import Level
from local.processes.errors import StackError

LOGS = Path("build/reports/kind")
NEEDED = ("kind", "kubectl")
SYNCED_TIMEOUT_SECONDS = 900.0


class Site:
    """A cluster in its environment, with the git remote that it follows."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.state = environment.state
        self.cluster = Cluster(environment)
        self.remote = GitRemote(self.cluster, self.state)

    def api(self) -> Api:
        """A client of the cluster's API."""
        return Api(self.cluster.kubeconfig)

    def images(self) -> tuple[str | None, list[str]]:
        """Everything that would else be pulled: the node image's name, and ours."""
        node = self.environment.node_image(say)
        return node, own_images.build(self.environment, say)

    def look_at_the_engine(self) -> None:
        """Say what it has. Raises StackError when that is too little."""
        findings = list(preflight.examine(self.environment.docker, NEEDED))
        for each in findings:
            say(str(each))
        lacking = [each for each in findings if each.level is Level.LACKS]
        if lacking:
            named = ", ".join(each.check for each in lacking)
            raise StackError(f"the cluster would not come up here: {named} (above)")

    def up(self) -> None:
        """From nothing to all Applications Synced and Healthy. Raises StackError."""
        with step("programs"):
            programs.ensure_commands(NEEDED, say)
        with step("Docker"):
            self.environment.start_engine()
            self.look_at_the_engine()
        with step("images"):
            node, ours = self.images()
        if not self.is_up():
            with step("kind create cluster"):
                self.cluster.delete()  # one that was never finished
                self.cluster.create(node)
        with step("loading our images"):
            self.cluster.load(*ours)
        self.environment.start_beside(self.cluster)
        with step("Argo CD and Argo Rollouts"):
            argo.install(self.cluster, self.environment.images)
            argo.wait_installed(self.cluster)
        with step("secrets"):
            secrets.make(self.cluster, self.state)
        with step("git remote"):
            self.remote.start(argo.image(self.environment.images))
            revision = self.remote.push_tree(Path.cwd(), own_images.tag(), "kind-up")
        with step("Argo CD: all that is in git"):
            argo.bootstrap(self.cluster, self.remote.clone, self.environment.name)
            self.follow(revision)

    def is_up(self) -> bool:
        """Whether the cluster was made, and its engine runs."""
        runs, made = self.environment.engine_runs(), self.cluster.kubeconfig.exists()
        return runs and made and self.cluster.exists()

    def push(self, message: str) -> None:
        """Deploy the working tree: images, a commit, a sync. Raises StackError."""
        with step("images"):
            self.cluster.load(*own_images.build(self.environment, say))
        with step("git push"):
            revision = self.remote.push_tree(Path.cwd(), own_images.tag(), message)
        with step("Argo CD: what was pushed"):
            argo.refresh(self.cluster)
            self.follow(revision)

    def follow(self, revision: str) -> None:
        """Wait until everything of that commit is Synced and Healthy."""
        with closing(self.api()) as api:
            follow(api, revision, say, SYNCED_TIMEOUT_SECONDS)

    def down(self) -> None:
        """Leave nothing running and no state; what was built stays in the cache.

        The logs are kept in build/reports/kind.
        """
        self.remote.forget()
        self.environment.stop_beside()
        if self.environment.reach_leftovers():
            self.cluster.delete()
        self.environment.stop_engine()
        for log in self.state.rglob("*.log"):
            kept = LOGS / log.relative_to(self.state)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)
        shutil.rmtree(self.state, ignore_errors=True)
