"""A Docker engine of our own, in a network namespace that leads nowhere else.

It keeps its images beside the built programs (programs.cache()), and knows nothing of
the world outside: what it runs was built here.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from local.kube import programs
from local.kube.docker import Docker
from local.kube.offline import network
from local.kube.offline.archive import Image
from local.processes.errors import MissingPart
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import wait_until

READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0


class Engine:
    """One dockerd, and its client."""

    def __init__(self, state: Path) -> None:
        """`state` is a folder for its socket and its log."""
        self._state = state
        self._socket = state / "docker.sock"
        self._process = self._dockerd()
        self.docker = Docker({"DOCKER_HOST": f"unix://{self._socket}"})

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process.is_running()

    def start(self) -> None:
        """Start it, unless it runs. Raises StackError, MissingPart."""
        if self.is_running():
            return
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            raise MissingPart(
                "no Docker engine answers: start one, or run as root with the package "
                "docker.io, and one is started here"
            )
        network.require_unused()
        network.remove()  # what a killed start has left
        network.create()
        self._state.mkdir(parents=True, exist_ok=True)
        _write_wrapper(self._state / "runc")

        def ready() -> bool:
            self._process.require_running()
            return self.docker.answers()

        try:
            self._process.start()
            wait_until(ready, what="dockerd", timeout_seconds=READY_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, with all it runs, and take its network away."""
        if self.is_running():
            self._process.terminate()
            network.remove()

    def left_containers(self) -> bool:
        """Whether it has stopped and has containers that it would start again."""
        folder = programs.cache() / "docker" / "containers"
        return not self.is_running() and folder.exists() and any(folder.iterdir())

    def load(self, image: Image) -> None:
        """Give it an image made from files. Raises StackError."""
        with tempfile.TemporaryDirectory(dir=image.layers[0].parent) as scratch:
            archive = Path(scratch) / "image.tar"
            image.write(archive)
            self.docker.run("load", "--quiet", "--input", str(archive))

    def _dockerd(self) -> ManagedProcess:
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
                stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
            )
        )


def _write_wrapper(path: Path) -> None:
    """A runc that does not ask for what this machine's root does not have."""
    wrapper = Path(__file__).with_name("runc_wrapper.py")
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {wrapper} "$@"\n')
    path.chmod(0o755)
