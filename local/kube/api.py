"""The API of a cluster, spoken directly: what runs in a loop cannot start kubectl."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any

import httpx
import yaml

from local.processes.errors import StackError

MANAGER = "once-local"
TIMEOUT_SECONDS = 20.0

Object = dict[str, Any]

# Where objects of a kind live: group and version, and the word in the path.
PLURALS = {
    "Namespace": ("v1", "namespaces"),
    "Node": ("v1", "nodes"),
    "ConfigMap": ("v1", "configmaps"),
    "Endpoints": ("v1", "endpoints"),
    "Pod": ("v1", "pods"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
    "Application": ("argoproj.io/v1alpha1", "applications"),
    "Kafka": ("kafka.strimzi.io/v1", "kafkas"),
    "KafkaNodePool": ("kafka.strimzi.io/v1", "kafkanodepools"),
    "KafkaTopic": ("kafka.strimzi.io/v1", "kafkatopics"),
    "KafkaUser": ("kafka.strimzi.io/v1", "kafkausers"),
    "KafkaRebalance": ("kafka.strimzi.io/v1", "kafkarebalances"),
    "PostgresCluster": (
        "postgres-operator.crunchydata.com/v1",
        "postgresclusters",
    ),
    "Certificate": ("cert-manager.io/v1", "certificates"),
    "Issuer": ("cert-manager.io/v1", "issuers"),
}


class Api:
    """A client with the rights of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        said = yaml.safe_load(kubeconfig.read_text())
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        trust = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]) + b"\n")
            pair.flush()
            trust.load_cert_chain(pair.name)
        self._http = httpx.Client(
            base_url=cluster["server"],
            verify=trust,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def list(self, kind: str, namespace: str) -> list[Object]:
        """All of a kind; none where the kind is unknown. Raises StackError.

        In no namespace: in all of them.
        """
        answer = self._send("GET", _path(kind, namespace))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        items: list[Object] = _content(answer)["items"]
        return items

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None. Raises StackError."""
        answer = self._send("GET", _path(kind, namespace, name))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _content(answer)

    def apply(self, made: Object) -> Object:
        """Make it so, server-side, whoever else owns the fields. Raises StackError."""
        meta = made["metadata"]
        path = _path(made["kind"], meta.get("namespace", ""), meta["name"])
        answer = self._send(
            "PATCH",
            path,
            params={"fieldManager": MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(made),
        )
        return _content(answer)

    def set_status(self, of: Object, status: Object) -> None:
        """Replace these fields of its status. Raises StackError."""
        meta = of["metadata"]
        path = _path(of["kind"], meta["namespace"], meta["name"])
        answer = self._send(
            "PATCH",
            f"{path}/status",
            headers={"Content-Type": "application/merge-patch+json"},
            content=json.dumps({"status": status}),
        )
        if answer.status_code != httpx.codes.NOT_FOUND:  # it may have been deleted
            _content(answer)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise StackError(f"{method} {path}: {error!r}") from error


def _path(kind: str, namespace: str, name: str = "") -> str:
    version, plural = PLURALS[kind]
    root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{plural}" + (f"/{name}" if name else "")


def _content(answer: httpx.Response) -> Object:
    if answer.is_error:
        said = answer.text[:300]
        raise StackError(f"{answer.request.method} {answer.request.url.path}: {said}")
    found: Object = answer.json()
    return found
