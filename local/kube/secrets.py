"""What an environment brings by External Secrets is made up here, for this machine."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from local.kube import objects
from local.kube.cluster import Cluster
from local.kube.objects import NAMESPACE
from local.platform.credentials import Issuer

TOKEN_SECONDS = 30 * 24 * 3600


def issuer(state: Path) -> Issuer:
    """Who signs the tokens that the Store in the cluster takes."""
    return Issuer(state / "auth")


def make(cluster: Cluster, state: Path) -> None:
    """The smoke test's token, the issuer's keys, and the backup's account."""
    signs = issuer(state)
    token = signs.token("smoke", seconds=TOKEN_SECONDS)
    keys = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": NAMESPACE, "name": "store-jwks"},
        "data": {"jwks.json": signs.jwks.read_text()},
    }
    cluster.apply(objects.namespace(NAMESPACE))
    cluster.apply(
        keys,
        objects.secret(NAMESPACE, "store-smoke", {"token": token.encode()}),
    )
    get = ("get", "secret", "ledger-backup", "--namespace", NAMESPACE)
    found = cluster.kubectl(*get, "--ignore-not-found", "--output=name")
    if not found:
        cluster.apply(objects.secret(NAMESPACE, "ledger-backup", _backup()))


def _backup() -> dict[str, bytes]:
    """An account at SeaweedFS, as both sides want it (postgres/README.md)."""
    access, key, cipher = (secrets.token_hex(16) for _ in range(3))
    credentials = [{"accessKey": access, "secretKey": key}]
    identity = {
        "name": "pgbackrest",
        "credentials": credentials,
        "actions": ["Admin"],
    }
    lines = (
        "[global]",
        f"repo2-s3-key={access}",
        f"repo2-s3-key-secret={key}",
        f"repo2-cipher-pass={cipher}",
    )
    return {
        "s3.conf": "\n".join(lines).encode(),
        "s3.json": json.dumps({"identities": [identity]}).encode(),
    }
