"""A port of this machine that leads into the cluster, by `kubectl port-forward`."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.kube import programs
from local.kube.objects import NAMESPACE
from local.processes.waiting import wait_until

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_SECONDS = 30.0
AGAIN_SECONDS = 0.5


@contextmanager
def forwarded(kubeconfig: Path, service: str, port: int) -> Iterator[str]:
    """`host:port` for the block's time. Raises StackError.

    kubectl follows one pod and ends with it: it is started again for the next.
    """
    with socket.create_server((LOOPBACK, 0)) as probe:
        local: int = probe.getsockname()[1]
    kept = _Kept(kubeconfig, service, f"{local}:{port}")
    try:
        kept.start()
        wait_until(
            lambda: _answers(local),
            what=f"a way to service {service}",
            timeout_seconds=READY_TIMEOUT_SECONDS,
        )
        yield f"{LOOPBACK}:{local}"
    finally:
        kept.stop()


class _Kept(threading.Thread):
    """Runs kubectl, again and again, until it is told to stop."""

    def __init__(self, kubeconfig: Path, service: str, ports: str) -> None:
        super().__init__(name=f"port-forward {service}", daemon=True)
        self._command = [str(programs.command("kubectl")), "port-forward"]
        self._command += ["--namespace", NAMESPACE, f"service/{service}", ports]
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self._leaving = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Until `stop`."""
        while not self._leaving.is_set():
            self._running = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._leaving.is_set():  # `stop` came before there was one to end
                self._running.terminate()
            self._running.wait()
            self._leaving.wait(AGAIN_SECONDS)

    def stop(self) -> None:
        """End it, and wait for it."""
        self._leaving.set()
        if self._running is not None:
            self._running.terminate()
        if self.is_alive():
            self.join()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
