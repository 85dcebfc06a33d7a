"""The environment in which the programs find a stack: the settings they document."""

from __future__ import annotations

from local.stack import Stack


def environment(stack: Stack, dbname: str = "ledger") -> dict[str, str]:
    """Settings of Bank, Store, audit, peek and set-up commands for this stack."""
    kafka, registry = stack.endpoints.bootstrap_servers, stack.endpoints.registry_url
    found = {
        "ONCE_MIGRATOR_CONNINFO": stack.conninfo(user="migrator", dbname=dbname),
        "BANK_CONNINFO": stack.conninfo(user="bank", dbname=dbname),
        "AUDIT_CONNINFO": stack.conninfo(user="audit", dbname=dbname),
    }
    for program in ("ONCE", "BANK", "STORE", "AUDIT", "PEEK"):
        found[f"{program}_BOOTSTRAP_SERVERS"] = kafka
        found[f"{program}_REGISTRY_URL"] = registry
    return found
