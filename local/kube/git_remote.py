"""The git remote that Argo CD follows: a bare repository, served on one address.

What is pushed to it is the working tree as it lies there, committed or not; the commit
is made in a clone of its own, and the checkout's own history is not touched.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from local.processes import commands
from local.processes.errors import StackError
from local.processes.process import ManagedProcess, ProcessSpec

BRANCH = "main"
PORT = 9418
AUTHOR = {
    "user.name": "once",
    "user.email": "once@localhost",
    "commit.gpgsign": "false",
}
# Where the overlays of a local cluster name our images.
TAGGED = ("producers/store/k8s/overlays/kind", "consumers/bank/k8s/overlays/kind")


class GitRemote:
    """The repository, its clone to commit in, and the daemon that serves it."""

    def __init__(self, state: Path) -> None:
        self._state = state = state.resolve()
        self.bare, self.clone = state / "git" / "once.git", state / "clone"
        self.daemon = self._daemon("")

    def _daemon(self, address: str) -> ManagedProcess:
        state = self._state
        return ManagedProcess(
            ProcessSpec(
                name="git",
                command=[
                    *("git", "daemon", "--reuseaddr", "--export-all"),
                    f"--listen={address}",
                    f"--port={PORT}",
                    f"--base-path={state / 'git'}",
                    str(state / "git"),
                ],
                directory=state,
                log=state / "git.log",
                pid_file=state / "git.json",
            )
        )

    def start(self, address: str) -> None:
        """Make the repository, unless it is there, and serve it at the address."""
        if not self.clone.exists():
            shutil.rmtree(self.bare, ignore_errors=True)
            self.bare.parent.mkdir(parents=True, exist_ok=True)
            made = ("init", "--quiet", "--bare", f"--initial-branch={BRANCH}")
            _git(Path.cwd(), *made, str(self.bare))
            _git(Path.cwd(), "clone", "--quiet", str(self.bare), str(self.clone))
            for key, value in AUTHOR.items():
                _git(self.clone, "config", key, value)
        self.daemon = self._daemon(address)
        self.daemon.start()

    def stop(self) -> None:
        """Serve no more, and forget the repository."""
        self.daemon.terminate()
        for folder in (self.bare.parent, self.clone):
            shutil.rmtree(folder, ignore_errors=True)

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
