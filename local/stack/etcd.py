"""One etcd, which holds Patroni's leader lease: one node, as this is one machine.

Who writes to it commands Patroni, and with it Postgres. So it answers only who shows a
certificate of this stack's own, made anew at each start by an authority whose key is
then forgotten. Passwords were tried: without one etcd 3.4 still lets anybody raise an
alarm that stops all writes, and list leases; and it knows none until somebody has told
it the first, over the port that everybody reaches. Its peer port is a socket in its own
folder, as it has no peers.
"""

from __future__ import annotations

import platform
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

from local.processes.files import make_folder, replace_file
from local.processes.layout import Layout
from local.processes.privileges import Servant
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST
from local.stack.parts import Parts

NAME = "etcd"
SERVER = "etcd-server.pem"  # its certificate, with its key
READY_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Credentials:
    """The files with which somebody shows to etcd who they are, in one folder."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "etcd-ca.pem"

    @property
    def certificate(self) -> Path:
        """With its key."""
        return self.folder / "etcd-client.pem"

    def context(self) -> ssl.SSLContext:
        """For a client of ours."""
        made = ssl.create_default_context(cafile=self.authority)
        made.load_cert_chain(self.certificate)
        return made

    def give(self, servant: Servant, folder: Path) -> None:
        """Lay a copy into a folder of the servant's."""
        for file in (self.authority, self.certificate):
            servant.write(folder / file.name, file.read_bytes())


class Etcd:
    """The lease keeper of one stack."""

    def __init__(
        self,
        layout: Layout,
        parts: Parts,
        servant: Servant,
        port: int,
        patience: Patience,
    ) -> None:
        self._patience = patience
        self._servant = servant
        self._home = layout.data(NAME)
        self.credentials = credentials(layout)
        self.url = f"https://{HOST}:{port}"
        peer_url = "unix://peer:0"  # a file in its folder, which is where it runs
        options = {
            "name": NAME,
            "data-dir": str(self._home / "data"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"{NAME}={peer_url}",
            "cert-file": str(self._home / SERVER),
            "key-file": str(self._home / SERVER),
            "trusted-ca-file": str(self._home / self.credentials.authority.name),
            "auto-compaction-retention": "1h",
            "logger": "zap",
            "log-level": "error",  # it warns of every request with a certificate
            # Ten times the defaults: it has nobody to beat for.
            "heartbeat-interval": "1000",
            "election-timeout": "5000",
        }
        flags = [f"--{key}={value}" for key, value in options.items()]
        flags.append("--client-cert-auth")
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
        self._make_credentials()
        self.process.start()

    def _make_credentials(self) -> None:
        authority = trustme.CA(organization_name="Once, etcd of this stack")
        given = self.credentials
        make_folder(given.folder)
        client = authority.issue_cert(
            "patroni@once.local"
        ).private_key_and_cert_chain_pem
        replace_file(given.authority, authority.cert_pem.bytes())
        replace_file(given.certificate, client.bytes())
        given.give(self._servant, self._home)
        server = authority.issue_cert(HOST).private_key_and_cert_chain_pem
        self._servant.write(self._home / SERVER, server.bytes())

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        def ready() -> bool:
            self.process.require_running()
            try:
                return http.get(f"{self.url}/health").is_success
            except httpx.TransportError:
                return False

        trust = self.credentials.context()
        with httpx.Client(verify=trust, timeout=2.0, trust_env=False) as http:
            wait_until(
                ready, what="etcd", timeout_seconds=timeout_s, patience=self._patience
            )


def credentials(layout: Layout) -> Credentials:
    """Ours; made when etcd is started."""
    return Credentials(layout.data("etcd-access"))


def _environment() -> dict[str, str]:
    """etcd 3.4 refuses 64-bit Arm unless told that we know."""
    if platform.machine() == "aarch64":
        return {"ETCD_UNSUPPORTED_ARCH": "arm64"}
    return {}
