"""What Patroni and Postgres are told in a pod: settings only, as PGO writes them."""

from __future__ import annotations

from typing import Any

from local.kube.api import Object
from local.kube.ledger_pods import CLUSTER, FOLLOWER, LEADER, ROLE, SUPERUSER
from local.kube.objects import NAMESPACE
from local.kube.offline.data_images import POSTGRES_BIN
from local.stack.patroni_config import INITDB_OPTIONS

PORT = 5432
LEASE = "ledger-ha"
SOCKETS = "/tmp"
REPLICATION = "_crunchyrepl"
TLS, REPLICATION_TLS = "/etc/ledger/tls", "/etc/ledger/replication"


def patroni_file(spec: Object) -> dict[str, Any]:
    """Of all instances; what differs by pod is in the pod's environment."""
    keys = {"certfile": f"{TLS}/tls.crt", "keyfile": f"{TLS}/tls.key"}
    return {
        "scope": LEASE,
        "kubernetes": {
            "namespace": NAMESPACE,
            "labels": {CLUSTER: "ledger"},
            "scope_label": "postgres-operator.crunchydata.com/patroni",
            "role_label": ROLE,
            "leader_label_value": LEADER,
            "follower_label_value": FOLLOWER,
            "use_endpoints": True,
            "ports": [{"name": "postgres", "port": PORT, "protocol": "TCP"}],
        },
        # Health is for everybody; what changes something asks for a certificate.
        "restapi": {**keys, "cafile": f"{TLS}/ca.crt", "verify_client": "optional"},
        "ctl": {**keys, "cacert": f"{TLS}/ca.crt"},
        "log": {"level": "INFO"},
        "watchdog": {"mode": "off"},
        "bootstrap": {"dcs": _shared(spec), "initdb": _initdb()},
        "postgresql": _own(spec["authentication"]["rules"]),
    }


def _shared(spec: Object) -> dict[str, Any]:
    """What all instances agree on; kept with the lease from their first start on."""
    patroni = spec["patroni"]
    asked: dict[str, Any] = dict(patroni["dynamicConfiguration"])
    asked["postgresql"] = {
        **asked.get("postgresql", {}),
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            **spec["config"]["parameters"],
            "unix_socket_directories": SOCKETS,
            "ssl": "on",
            "ssl_cert_file": f"{TLS}/tls.crt",
            "ssl_key_file": f"{TLS}/tls.key",
            "ssl_ca_file": f"{TLS}/ca.crt",
            "wal_log_hints": "on",
        },
    }
    return {
        "ttl": patroni["leaderLeaseDurationSeconds"],
        "loop_wait": patroni["syncPeriodSeconds"],
        **asked,
    }


def _own(rules: list[Object]) -> dict[str, Any]:
    shown = {
        "username": REPLICATION,
        "sslmode": "verify-ca",
        "sslrootcert": f"{TLS}/ca.crt",
        "sslcert": f"{REPLICATION_TLS}/tls.crt",
        "sslkey": f"{REPLICATION_TLS}/tls.key",
    }
    return {
        "bin_dir": POSTGRES_BIN,
        "data_dir": "/pgdata/data",
        "pgpass": f"{SOCKETS}/pgpass",
        "use_unix_socket": True,
        "authentication": {
            "superuser": {"username": SUPERUSER},
            "replication": shown,
            "rewind": shown,
        },
        "pg_hba": _authentication(rules),
        "create_replica_methods": ["basebackup"],
        "basebackup": [{"checkpoint": "fast"}],
    }


def _initdb() -> list[object]:
    kept = [
        {key: value}
        for key, value in INITDB_OPTIONS.items()
        if not key.startswith("auth-")
    ]
    return ["data-checksums", *kept]


def _authentication(rules: list[Object]) -> list[str]:
    """pg_hba.conf: whom PGO needs itself, and whom the resource names; nobody else."""
    named = [
        f"{rule['connection']} {','.join(rule['databases'])} "
        f"{','.join(rule['users'])} all {rule['method']}"
        for rule in rules
    ]
    return [
        f"local all {SUPERUSER} peer",
        f"hostssl replication {REPLICATION} all cert",
        f"hostssl {SUPERUSER} {REPLICATION} all cert",
        f"host all {REPLICATION} all reject",
        *named,
    ]
