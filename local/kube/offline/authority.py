"""The certificate authority of the local cluster, where cert-manager cannot run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from local.kube.api import Object
from local.platform.credentials import PUBLIC, write_secret
from local.processes.files import replace_file

CLIENT = ("client.invalid",)  # a certificate must name something; a client is nowhere
ORGANIZATION = "Once, local cluster"


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, its key, and who vouches for it; all in PEM."""

    chain: bytes
    key: bytes
    authority: bytes


class Authority:
    """Signs certificates; its key stays in one folder."""

    def __init__(self, folder: Path) -> None:
        """Reads the authority, or makes one."""
        self.folder = folder
        self.certificate = folder / "ca.pem"
        key = folder / "ca-key.pem"
        if self.certificate.exists() and key.exists():
            kept = (self.certificate.read_bytes(), key.read_bytes())
            self._ca = trustme.CA.from_pem(*kept)
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA(organization_name=ORGANIZATION)
        write_secret(key, self._ca.private_key_pem.bytes())
        replace_file(self.certificate, self._ca.cert_pem.bytes(), mode=PUBLIC)

    def issue(self, common_name: str, *names: str) -> Pair:
        """A new certificate for a server (its names) or a client (none)."""
        made = self._ca.issue_cert(*(names or CLIENT), common_name=common_name)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        key = load_pem_private_key(made.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()  # Java reads no other
        )
        return Pair(chain, key, self._ca.cert_pem.bytes())

    @staticmethod
    def covers(chain: bytes, names: Sequence[str]) -> bool:
        """Whether a server with this certificate may call itself all these names."""
        certificate = x509.load_pem_x509_certificate(chain)
        kind = x509.SubjectAlternativeName
        said = certificate.extensions.get_extension_for_class(kind).value
        return set(names) <= {str(name.value) for name in said}

    def vouched(self, secret: Object, names: Sequence[str]) -> bool:
        """Whether the certificate of a Secret, `tls.crt`, covers all these names."""
        chain = base64.b64decode(secret["data"]["tls.crt"])
        return self.covers(chain, names)

    def write(self, name: str, *names: str) -> None:
        """A server's certificate as files `<name>.pem` and `<name>-key.pem`, kept.

        `<name>-both.pem` has key and chain, as Kafka wants them.
        """
        target = self.folder / f"{name}.pem"
        if target.exists():
            return
        pair = self.issue(names[0], *names)
        write_secret(self.folder / f"{name}-key.pem", pair.key)
        write_secret(self.folder / f"{name}-both.pem", pair.key + pair.chain)
        replace_file(target, pair.chain, mode=PUBLIC)
