"""Docker: the one that runs on this machine, or our own in a network namespace.

Ours keeps its images beside the built programs (programs.cache()), and knows nothing of
the world outside: what it runs was built here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from local.kube import programs
from local.kube.offline import network
from local.kube.offline.archive import Image
from local.processes import commands
from local.processes.errors import MissingPart
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import wait_until

READY_TIMEOUT_S = 60.0
OWN = "KIND_OFFLINE"  # an engine of our own, also where another one runs


class Docker:
    """How to reach the engine, and whether we own it."""

    def __init__(self, state: Path, ours: bool) -> None:
        """`state` is a folder for the socket and the log of an engine of our own."""
        self._state = state.resolve()
        self._socket = self._state / "docker.sock"
        self.process = self._engine()
        self.ours = ours

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this engine needs to know."""
        return {"DOCKER_HOST": f"unix://{self._socket}"} if self.ours else {}

    def start(self) -> None:
        """Start one when none runs on this machine. Raises StackError, MissingPart."""
        if not self.ours or self.process.is_running():
            return
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            raise MissingPart(
                "No Docker engine answers: start one, or run as root with the package "
                "docker.io, and one is started here."
            )
        network.require_unused()
        network.remove()  # what a killed start has left
        network.create()
        self._state.mkdir(parents=True, exist_ok=True)
        _write_wrapper(self._state / "runc")

        def ready() -> bool:
            self.process.require_running()
            return _answers(self.environment)

        try:
            self.process.start()
            wait_until(ready, what="dockerd", timeout_seconds=READY_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop ours, with all it runs, and take its network away."""
        if self.process.is_running():
            self.process.terminate()
            network.remove()

    def left_containers(self) -> bool:
        """Whether our stopped engine has containers that it would start again."""
        folder = programs.cache() / "docker" / "containers"
        stopped = not self.process.is_running()
        return stopped and folder.exists() and any(folder.iterdir())

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run the client; what it prints. Raises StackError where that is checked."""
        command, environment = ["docker", *arguments], self.environment
        if not check:
            return commands.attempt(command, environment=environment).stdout
        what = f"docker {' '.join(arguments[:3])}"
        return commands.run(command, what, environment=environment, stdin=stdin)

    def load(self, image: Image) -> None:
        """Give the engine an image made from files. Raises StackError."""
        with tempfile.TemporaryDirectory(dir=image.layers[0].parent) as scratch:
            archive = Path(scratch) / "image.tar"
            image.write(archive)
            self.run("load", "--quiet", "--input", str(archive))

    def has_image(self, name: str) -> bool:
        """Whether the engine has it."""
        return bool(self.run("images", "--quiet", name).strip())

    def _engine(self) -> ManagedProcess:
        command = [
            "dockerd",
            f"--data-root={programs.cache() / 'docker'}",
            f"--exec-root={self._state / 'docker'}",
            f"--pidfile={self._state / 'dockerd.pid'}",
            f"--host=unix://{self._socket}",
            "--storage-driver=overlay2",
            f"--add-runtime=once={self._state / 'runc'}",
            "--default-runtime=once",
            "--exec-opt=native.cgroupdriver=cgroupfs",
        ]
        return ManagedProcess(
            ProcessSpec(
                name="dockerd",
                command=network.enter(*command),
                directory=self._state,
                log=self._state / "dockerd.log",
                pid_file=self._state / "dockerd.json",
                stop_timeout_s=60.0,
            )
        )


def offline_is_wanted() -> bool:
    """Whether an engine of our own is to be used: asked for, or none else answers."""
    return bool(os.environ.get(OWN)) or not _answers({})


def _answers(environment: Mapping[str, str]) -> bool:
    """Whether an engine answers this client."""
    if shutil.which("docker") is None:
        return False
    try:
        done = commands.attempt(
            ["docker", "info", "--format", "{{.ServerVersion}}"],
            environment=environment,
            timeout_seconds=20,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def _write_wrapper(path: Path) -> None:
    """A runc that does not ask for what this machine's root does not have."""
    wrapper = Path(__file__).with_name("runc_wrapper.py")
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {wrapper} "$@"\n')
    path.chmod(0o755)
