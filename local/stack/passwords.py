"""The passwords of one stack: made once, kept in a file only its owner reads."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from local.processes.layout import Layout, read_json, write_json

# `migrator`, `bank` and `audit` are what an operator (PGO) would create as users.
SUPERUSER = "postgres"
REPLICATION = "replicator"
LOGIN_ROLES = ("migrator", "bank", "audit")
# Reads what servers say of themselves, where the stack is monitored.
MONITOR = "monitor"
# Not a role: who may change something by Patroni's API. Looking is free.
PATRONI_API = "patroni-api"


def load_passwords(layout: Layout) -> Mapping[str, str]:
    """The password of each Postgres role and of Patroni's API, by name."""
    kept = read_json(layout.passwords_file).get("postgres", {})
    names = (SUPERUSER, REPLICATION, *LOGIN_ROLES, MONITOR, PATRONI_API)
    passwords = {name: kept.get(name) or secrets.token_urlsafe(18) for name in names}
    if passwords != kept:
        write_json(layout.passwords_file, {"postgres": passwords})
    return passwords
