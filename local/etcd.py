"""One etcd, which holds Patroni's leader lease: one node, as this is one machine."""

import platform

import httpx

from local.deadline import Patience
from local.endpoints import HOST
from local.layout import Layout
from local.parts import Parts
from local.privileges import Servant
from local.process import ManagedProcess, ProcessSpec

NAME = "etcd"
READY_TIMEOUT_S = 30.0


class Etcd:
    """The lease keeper of one stack."""

    def __init__(
        self,
        layout: Layout,
        parts: Parts,
        servant: Servant,
        ports: tuple[int, int],
        patience: Patience,
    ) -> None:
        client_port, peer_port = ports
        self._patience = patience
        self._servant = servant
        self._home = layout.data(NAME)
        self.url = f"http://{HOST}:{client_port}"
        peer_url = f"http://{HOST}:{peer_port}"
        options = {
            "name": NAME,
            "data-dir": str(self._home / "data"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"{NAME}={peer_url}",
            "auto-compaction-retention": "1h",
            "logger": "zap",
            "log-level": "warn",
            # Ten times the defaults: it has nobody to beat for.
            "heartbeat-interval": "1000",
            "election-timeout": "5000",
        }
        flags = [f"--{key}={value}" for key, value in options.items()]
        self.process = ManagedProcess(
            ProcessSpec(
                name=NAME,
                command=servant.command([str(parts.etcd), *flags]),
                directory=self._home,
                log=layout.log(NAME),
                pid_file=layout.pids / f"{NAME}.json",
                environment=_environment(),
            )
        )
        self.processes = {NAME: self.process}

    def start(self) -> None:
        self._servant.own(self._home)
        self.process.start()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        def ready() -> bool:
            self.process.require_running()
            try:
                asked = f"{self.url}/health"
                return httpx.get(asked, timeout=2.0, trust_env=False).is_success
            except httpx.TransportError:
                return False

        self._patience.wait_until(ready, what="etcd", timeout_s=timeout_s)


def _environment() -> dict[str, str]:
    """etcd 3.4 refuses 64-bit Arm unless told that we know."""
    if platform.machine() == "aarch64":
        return {"ETCD_UNSUPPORTED_ARCH": "arm64"}
    return {}
