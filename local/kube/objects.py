"""The few Kubernetes objects that are made here and not in git."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from local.kube.api import Object

NAMESPACE = "once"  # of all that is ours in a cluster
MOMENT = "2026-01-01T00:00:00Z"  # the same each time: a status is not news
MADE_HERE = {"app.kubernetes.io/managed-by": "once-local"}
READY = {"type": "Ready", "status": "True", "reason": "StandIn"}


def ready() -> Object:
    """The condition of a resource that has all it asked for."""
    return {**READY, "message": "by the stand-in", "lastTransitionTime": MOMENT}


def namespace(name: str) -> Object:
    """A bare one: whatever else it has comes from git."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def secret(
    namespace: str,
    name: str,
    content: Mapping[str, bytes],
    kind: str = "Opaque",
) -> Object:
    """A Secret with these keys."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": dict(MADE_HERE),
        },
        "type": kind,
        "data": {
            key: base64.b64encode(value).decode() for key, value in content.items()
        },
    }


def config_map(namespace: str, name: str, content: Mapping[str, str]) -> Object:
    """A ConfigMap with these keys."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": dict(MADE_HERE),
        },
        "data": dict(content),
    }


def service_to(
    namespace: str, name: str, port: int, endpoints: list[tuple[str, int]]
) -> list[Object]:
    """A Service that leads to these addresses and ports, whatever is there."""
    meta = {"namespace": namespace, "labels": {"app.kubernetes.io/part-of": "once"}}
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "name": name},
        "spec": {"ports": [{"name": "tls", "port": port, "protocol": "TCP"}]},
    }
    slices: list[Object] = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace,
                "name": f"{name}-{number}",
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": "once-local",
                },
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "tls", "port": its_port, "protocol": "TCP"}],
        }
        for number, (address, its_port) in enumerate(endpoints)
    ]
    return [service, *slices]


def names_of(service: str) -> list[str]:
    """Every name by which a pod may call a Service."""
    inside = f"{service}.{NAMESPACE}"
    return [service, inside, f"{inside}.svc", f"{inside}.svc.cluster.local"]


def all_ready(stateful: Object) -> bool:
    """Whether a StatefulSet has all the pods that it wants, of its newest template."""
    said: Object = stateful.get("status", {})
    wanted: int = stateful["spec"]["replicas"]
    counts = {said.get(name, 0) for name in ("readyReplicas", "updatedReplicas")}
    return counts == {wanted}
