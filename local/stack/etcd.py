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
READY_TIMEOUT_SECONDS = 30.0


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


@dataclass(frozen=True)
class EtcdConfig:
    """What etcd is started with."""

    layout: Layout
    parts: Parts
    servant: Servant
    port: int

    @property
    def home(self) -> Path:
        """The folder that it runs in."""
        return self.layout.data(NAME)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{HOST}:{self.port}"

    def flags(self) -> list[str]:
        """Its command line."""
        peer_url = "unix://peer:0"  # a file in its folder, which is where it runs
        options = {
            "name": NAME,
            "data-dir": str(self.home / "data"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"{NAME}={peer_url}",
            "cert-file": str(self.home / SERVER),
            "key-file": str(self.home / SERVER),
            "trusted-ca-file": str(Credentials(self.home).authority),
            "auto-compaction-retention": "1h",
            "logger": "zap",
            "log-level": "error",  # it warns of every request with a certificate
            # Ten times the defaults: it has nobody to beat for.
            "heartbeat-interval": "1000",
            "election-timeout": "5000",
        }
        listed = [f"--{key}={value}" for key, value in options.items()]
        return [*listed, "--client-cert-auth"]


class Etcd:
    """The lease keeper of one stack."""

    def __init__(self, config: EtcdConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        self._credentials = credentials(config.layout)
        self._process = ManagedProcess(
            ProcessSpec(
                name=NAME,
                command=config.servant.command(
                    [str(config.parts.etcd), *config.flags()]
                ),
                directory=config.home,
                log=config.layout.log(NAME),
                pid_file=config.layout.pid_file(NAME),
                environment=_environment(),
            )
        )
        self.processes = {NAME: self._process}

    def start(self) -> None:
        """Start it, with certificates of this start."""
        self._config.servant.own(self._config.home)
        self._make_credentials()
        self._process.start()

    def wait_ready(self) -> None:
        """Until it says that it is well."""

        def ready() -> bool:
            self._process.require_running()
            try:
                return http.get(f"{self._config.url}/health").is_success
            except httpx.TransportError:
                return False

        trust = self._credentials.context()
        with httpx.Client(verify=trust, timeout=2.0, trust_env=False) as http:
            wait_until(
                ready,
                what="etcd",
                timeout_seconds=READY_TIMEOUT_SECONDS,
                patience=self._patience,
                logs=[self._process.spec.log],
            )

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._process.terminate()

    def _make_credentials(self) -> None:
        authority = trustme.CA(organization_name="Once, etcd of this stack")
        given, servant = self._credentials, self._config.servant
        make_folder(given.folder)
        client = authority.issue_cert(
            "patroni@once.local"
        ).private_key_and_cert_chain_pem
        replace_file(given.authority, authority.cert_pem.bytes())
        replace_file(given.certificate, client.bytes())
        given.give(servant, self._config.home)
        server = authority.issue_cert(HOST).private_key_and_cert_chain_pem
        servant.write(self._config.home / SERVER, server.bytes())


def credentials(layout: Layout) -> Credentials:
    """Ours; made when etcd is started."""
    return Credentials(layout.data("etcd-access"))


def _environment() -> dict[str, str]:
    """etcd 3.4 refuses 64-bit Arm unless told that we know."""
    if platform.machine() == "aarch64":
        return {"ETCD_UNSUPPORTED_ARCH": "arm64"}
    return {}
