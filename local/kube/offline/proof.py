"""The audit of an offline cluster, from outside: brokers and ledger lie beside it."""

from __future__ import annotations

from pathlib import Path

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.run import AuditSettings, audit
from local.kube.offline.authority import Authority
from local.kube.offline.outside import Outside
from local.platform import Platform

# As in avro/k8s/overlays/kind-offline.
REGISTRY_URL = "https://10.96.0.80:8443/apis/ccompat/v7"
SETTLED_TIMEOUT_SECONDS = 180.0


def platform(outside: Outside) -> Platform:
    """The ledger and the topics that the cluster works on."""
    return Platform(outside.attach(), "", outside.state / "logs")


def prove(outside: Outside, acknowledged: Path, promised: int) -> AuditReport:
    """Wait until all that was promised is applied, and check every invariant.

    Raises StackError when it is not applied in time.
    """
    found = platform(outside)
    found.wait_applied(promised, SETTLED_TIMEOUT_SECONDS)
    settings = AuditSettings.model_validate(
        {
            "bootstrap_servers": found.stack.endpoints.bootstrap_servers,
            "registry_url": REGISTRY_URL,
            "registry_ca": Authority(outside.state / "authority").certificate,
            "conninfo": found.conninfo("audit"),
        }
    )
    return audit(settings, acknowledged)
