"""The git remote that Argo CD follows: a bare repository in a pod of the cluster.

What is pushed to it is the working tree as it lies there, committed or not; the commit
is made in a clone of its own, and the checkout's own history is not touched.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from local.kube import programs
from local.kube.cluster import Cluster
from local.processes import commands
from local.processes.errors import StackError

MANIFEST = Path(__file__).with_name("git_remote.yaml")
NAMESPACE, DEPLOYMENT = "argocd", "once-git"
BRANCH = "main"
READY_SECONDS = 300
AUTHOR = {
    "user.name": "once",
    "user.email": "once@localhost",
    "commit.gpgsign": "false",
}
# Where the overlays of a local cluster name our images.
TAGGED = ("producers/store/k8s/overlays/kind", "consumers/bank/k8s/overlays/kind")


class GitRemote:
    """The pod that serves the repository, and its clone to commit in."""

    def __init__(self, cluster: Cluster, state: Path) -> None:
        self._cluster = cluster
        self.clone = state.resolve() / "clone"

    def start(self, image: str) -> None:
        """Serve what the clone has, which is made when it is not there.

        `image` is Argo CD's. Raises StackError.
        """
        if not (self.clone / ".git").exists():
            shutil.rmtree(self.clone, ignore_errors=True)
            self.clone.mkdir(parents=True)
            _git(self.clone, "init", "--quiet", f"--initial-branch={BRANCH}")
            _git(self.clone, "remote", "add", "origin", "there-is-none-yet")
        settings = {
            **AUTHOR,
            "remote.origin.url": self._way(),
            "protocol.ext.allow": "always",  # in this clone; git asks for that
            "push.default": "current",
        }
        for key, value in settings.items():
            _git(self.clone, "config", key, value)
        manifest = MANIFEST.read_text().replace("ARGO_CD_IMAGE", image)
        self._cluster.apply(*yaml.safe_load_all(manifest), namespace=NAMESPACE)
        waited = ("rollout", "status", f"deployment/{DEPLOYMENT}")
        spaced = ("--namespace", NAMESPACE, f"--timeout={READY_SECONDS}s")
        self._cluster.kubectl(*waited, *spaced)

    def _way(self) -> str:
        """To the repository, as an administrator: git's own words through a pipe."""
        kubectl, known = programs.command("kubectl"), self._cluster.kubeconfig
        enter = (str(kubectl), f"--kubeconfig={known}", f"--namespace={NAMESPACE}")
        run = ("exec", "--stdin", f"deployment/{DEPLOYMENT}", "--", "%S")
        words = [word.replace(" ", "% ") for word in enter]
        return " ".join([f"ext::{words[0]}", *words[1:], *run, "/git/once.git"])

    def forget(self) -> None:
        """Remove the clone; the pod goes with its cluster."""
        shutil.rmtree(self.clone, ignore_errors=True)

    def push_tree(self, tree: Path, tag: str, message: str) -> str:
        """Push that working tree, with this tag of our images; the commit."""
        listed = _git(
            tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
        for old in self.clone.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        for name in filter(None, listed.split("\0")):
            if (tree / name).is_file():
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, self.clone / name)
        for overlay in TAGGED:
            file = self.clone / overlay / "kustomization.yaml"
            named = file.read_text()
            if "newTag: dev" not in named:
                raise StackError(f"{overlay} does not name our image by 'newTag: dev'")
            file.write_text(named.replace("newTag: dev", f"newTag: {tag}"))
        return self.commit(message)

    def commit(self, message: str) -> str:
        """Commit and push whatever was changed in the clone; the commit."""
        _git(self.clone, "add", "--all")
        if _git(self.clone, "status", "--porcelain"):
            _git(self.clone, "commit", "--quiet", "--message", message)
        _git(self.clone, "push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return self.head()

    def revert(self) -> str:
        """Take back the last commit by a new one, and push it; the commit."""
        _git(self.clone, "revert", "--no-edit", "HEAD")
        _git(self.clone, "push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return self.head()

    def head(self) -> str:
        """The commit that is served."""
        return _git(self.clone, "rev-parse", "HEAD").strip()


def _git(directory: Path, *arguments: str) -> str:
    return commands.run(["git", *arguments], f"git {arguments[0]}", directory=directory)
