"""A real API server with its etcd on loopback, without nodes: it judges manifests.

with ControlPlane(Path("build/control-plane")) as plane:
    plane.kubectl("apply", "--server-side", "-f", "strimzi/")
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Self

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.kube import programs
from local.kube.offline.network import SERVICES
from local.platform.credentials import write_secret
from local.processes import commands
from local.processes.layout import write_json
from local.processes.ports import choose_ports
from local.processes.process import ManagedProcess, ProcessSpec
from local.processes.waiting import wait_until

NEEDED = ("etcd", "kube-apiserver", "kubectl")
READY_TIMEOUT_SECONDS = 60.0
NAMES = ("etcd", "etcd-peer", "api")


class ControlPlane:
    """etcd and kube-apiserver; everything they write is under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.kubeconfig = self.folder / "kubeconfig"
        self._ports = choose_ports(NAMES, remembered={})
        self._token = secrets.token_urlsafe(24)
        self.processes = {
            "etcd": self._process("etcd", self._etcd()),
            "kube-apiserver": self._process("kube-apiserver", self._api_server()),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self._ports['api']}"

    def start(self) -> None:
        """Start both and return when the API is ready. Raises StackError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_key(self.folder / "service-account.pem")
        rights = f'{self._token},admin,admin,"system:masters"\n'
        write_secret(self.folder / "tokens.csv", rights.encode())
        try:
            for process in self.processes.values():
                process.start()
            wait_until(
                self._is_ready,
                what="the API server",
                timeout_seconds=READY_TIMEOUT_SECONDS,
            )
        except BaseException:
            self.stop()
            raise
        self._write_kubeconfig()

    def stop(self) -> None:
        """End both; what was stored stays until the folder is removed."""
        for process in reversed(self.processes.values()):
            process.terminate()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> commands.Done:
        """Run kubectl as an administrator; how it ended."""
        command = [str(programs.path("kubectl")), "--kubeconfig", str(self.kubeconfig)]
        return commands.attempt([*command, *arguments], stdin=stdin)

    def _is_ready(self) -> bool:
        for process in self.processes.values():
            process.require_running()
        try:
            answer = httpx.get(
                f"{self.url}/readyz",
                headers={"Authorization": f"Bearer {self._token}"},
                verify=False,  # its certificate is made at its start
                trust_env=False,
                timeout=2.0,
            )
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def _write_kubeconfig(self) -> None:
        authority = str(self.folder / "certificates" / "apiserver.crt")
        cluster = {"server": self.url, "certificate-authority": authority}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "once", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [
                {"name": "once", "context": {"cluster": "once", "user": "admin"}}
            ],
            "current-context": "once",
        }
        write_json(self.kubeconfig, content, mode=0o600)

    def _etcd(self) -> list[str]:
        client = f"http://127.0.0.1:{self._ports['etcd']}"
        peer = f"http://127.0.0.1:{self._ports['etcd-peer']}"
        return [
            str(programs.path("etcd")),
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # it is thrown away after the test
        ]

    def _api_server(self) -> list[str]:
        key = self.folder / "service-account.pem"
        return [
            str(programs.path("kube-apiserver")),
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['api']}",
            f"--cert-dir={self.folder}/certificates",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={SERVICES}",
            # Nobody reaches it by the Service, and loopback may not be advertised.
            "--endpoint-reconciler-type=none",
            # There are no controllers here that would make a namespace's account.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def _process(self, name: str, command: list[str]) -> ManagedProcess:
        return ManagedProcess(
            ProcessSpec(
                name=name,
                command=command,
                directory=self.folder,
                log=self.folder / f"{name}.log",
                pid_file=self.folder / f"{name}.pid.json",
            )
        )


def _write_key(path: Path) -> None:
    if path.exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
