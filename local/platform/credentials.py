"""Certificates and tokens for this machine: a local authority, a local issuer.

What is there already stays: whoever trusts the authority goes on trusting it. Nothing
here is fit for another machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from local.processes.files import make_folder, narrow, replace_file

AUDIENCE, ISSUER, KEY_ID = "once-store", "once-local", "local-1"
PUBLIC = 0o644
SCOPES = "transfers:write transfers:read"
NAMES = ("localhost", "127.0.0.1", "::1")


class Certificates:
    """The local authority and the Store's certificate, made when they are missing."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        self.cert, self.key = folder / "store.pem", folder / "store-key.pem"

    def make(self) -> None:
        """Make them, unless they are there."""
        make_folder(self.ca.parent)
        narrow(self.ca.parent, [self.key.name])
        if self.ca.exists() and self.cert.exists() and self.key.exists():
            return
        authority = trustme.CA(organization_name="Once, this machine")
        server = authority.issue_cert(*NAMES)
        chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
        replace_file(self.ca, authority.cert_pem.bytes(), mode=PUBLIC)
        write_secret(self.key, server.private_key_pem.bytes())
        # Last: while it is missing the others are made again.
        replace_file(self.cert, chain, mode=PUBLIC)


class Issuer:
    """Signs tokens with a key of its own; `jwks` is the file with the public part."""

    def __init__(self, folder: Path) -> None:
        """Reads the key, or makes one."""
        self._file, self.jwks = folder / "issuer-key.pem", folder / "jwks.json"
        make_folder(folder)
        narrow(folder, [self._file.name])
        if not self._file.exists():
            new = Ed25519PrivateKey.generate()
            form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_secret(self._file, new.private_bytes(*form))
        key = load_pem_private_key(self._file.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey), f"{self._file} is no key of ours"
        self._key = key
        public = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key()))
        public |= {"kid": KEY_ID, "alg": "EdDSA", "use": "sig"}
        said = json.dumps({"keys": [public]}, indent=2) + "\n"
        replace_file(self.jwks, said.encode(), mode=PUBLIC)

    def token(
        self,
        client: str,
        scopes: str = SCOPES,
        seconds: int = 3600,
        accounts: Sequence[int | str] | None = None,
    ) -> str:
        """A token for this client; `accounts` are numbers and "from-to" to debit."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": client,
            "scope": scopes,
            "iat": now,
            "exp": now + seconds,
        }
        if accounts is not None:
            claims["accounts"] = list(accounts)
        return jwt.encode(claims, self._key, "EdDSA", {"kid": KEY_ID})


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whatever is there now."""
    replace_file(path, content)
