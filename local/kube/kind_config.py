"""kind's configuration: one control plane and three workers in three zones."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

from local.kube.environment import Additions
from local.processes.layout import write_json

NAME = "once"
ZONES = ("a", "b", "c")
ENCRYPTION = "/etc/kubernetes/encryption.json"
POD_SUBNET = "10.244.0.0/16"
DEAD_AFTER = "20s"  # a silent node is unreachable to the scheduler after this


# Secrets are encrypted in etcd; a dead node is noticed soon.
_CLUSTER: dict[str, Any] = {
    "kind": "ClusterConfiguration",
    "apiServer": {
        "extraArgs": [{"name": "encryption-provider-config", "value": ENCRYPTION}],
        "extraVolumes": [
            {
                "name": "encryption",
                "hostPath": ENCRYPTION,
                "mountPath": ENCRYPTION,
                "readOnly": True,
                "pathType": "File",
            }
        ],
    },
    "controllerManager": {
        "extraArgs": [
            {"name": "enable-hostpath-provisioner", "value": "true"},
            {"name": "node-monitor-grace-period", "value": DEAD_AFTER},
        ]
    },
}


def write(target: Path, *, address: str, encryption: Path, more: Additions) -> None:
    """Write it, with what the environment adds."""
    control_plane: dict[str, Any] = {
        "role": "control-plane",
        "extraMounts": [
            {
                "hostPath": str(encryption),
                "containerPath": ENCRYPTION,
                "readOnly": True,
                "selinuxRelabel": True,  # nothing, where there is no SELinux
            }
        ],
    }
    workers: list[dict[str, Any]] = [
        {"role": "worker", "labels": {"topology.kubernetes.io/zone": zone}}
        for zone in ZONES
    ]
    patches = [
        {**_CLUSTER, **more.cluster},
        {"kind": "KubeletConfiguration", "failCgroupV1": False},
    ]
    write_json(
        target,
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "name": NAME,
            "networking": {
                "apiServerAddress": address,
                "podSubnet": POD_SUBNET,
                "kubeProxyMode": "nftables",
                **more.networking,
            },
            "nodes": [{**each, **more.node} for each in (control_plane, *workers)],
            "kubeadmConfigPatches": [_yaml(patch) for patch in patches],
        },
    )


def write_encryption(target: Path) -> None:
    """The API server's encryption at rest: Secrets under a key made here, once."""
    if target.exists():
        return
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    secretbox = {"secretbox": {"keys": [{"name": "first", "secret": key}]}}
    content = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": ["secrets"], "providers": [secretbox, {"identity": {}}]}
        ],
    }
    write_json(target, content, mode=0o600)


def _yaml(content: dict[str, Any]) -> str:
    return json.dumps(content)  # YAML takes JSON
