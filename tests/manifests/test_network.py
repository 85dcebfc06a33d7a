"""The arrows of the architecture, as each environment's NetworkPolicies draw them."""

from __future__ import annotations

import pytest

from tests.manifests.network import allowed, egress, ingress, peers
from tests.manifests.overlays import DELIVERED, ENVIRONMENTS, environment

STORE, BANK, REGISTRY = "Rollout/store", "Deployment/bank", "Deployment/registry"
SMOKE, AUDIT = "AnalysisTemplate/store-smoke", "CronJob/audit"
AUDIT_OF_A_RELEASE = "AnalysisTemplate/audit"
MIGRATE, REGISTER = "Job/migrate", "Job/register"
AUDITS = (AUDIT, AUDIT_OF_A_RELEASE)
OURS = (STORE, BANK, REGISTRY, SMOKE, *AUDITS, MIGRATE, REGISTER)

Arrow = tuple[str, str, int]

ARROWS: list[Arrow] = [
    ("gateway", STORE, 8443),
    (SMOKE, STORE, 8443),
    (STORE, "broker", 9093),
    (STORE, REGISTRY, 8443),
    (BANK, "broker", 9093),
    (BANK, REGISTRY, 8443),
    (BANK, "postgres", 5432),
    *((audit, "broker", 9093) for audit in AUDITS),
    *((audit, REGISTRY, 8443) for audit in AUDITS),
    *((audit, "postgres", 5432) for audit in AUDITS),
    (MIGRATE, "postgres", 5432),
    (REGISTER, REGISTRY, 8443),
    (REGISTRY, "postgres", 5432),
    *(("prometheus", each, 9000) for each in (STORE, BANK, REGISTRY)),
    *(
        ("prometheus", each, 9404)
        for each in ("broker", "controller", "cruise-control")
    ),
    ("prometheus", "postgres", 9187),
    ("strimzi", "broker", 9091),
    ("strimzi", "controller", 9090),
    ("broker", "controller", 9090),
    ("broker", "broker", 9091),
    ("entity-operator", "broker", 9091),
    ("cruise-control", "broker", 9091),
    ("kafka-exporter", "broker", 9091),
    ("postgres", "postgres", 5432),
    ("postgres", "postgres", 8008),
    ("postgres", "pgbackrest", 8432),
    ("pgbouncer", "postgres", 5432),
    *((each, "dns", 53) for each in (*OURS, "broker", "postgres")),
    *((each, "api-server", 443) for each in ("postgres", "entity-operator", "broker")),
]
# Ways that somebody who took over a pod would try.
NO_ARROWS: list[Arrow] = [
    (STORE, "postgres", 5432),
    (STORE, "pgbouncer", 5432),
    (STORE, BANK, 9000),
    (BANK, STORE, 8443),
    (BANK, STORE, 9000),
    (SMOKE, "broker", 9093),
    (SMOKE, REGISTRY, 8443),
    (MIGRATE, "broker", 9093),
    (MIGRATE, REGISTRY, 8443),
    (REGISTER, "postgres", 5432),
    (REGISTER, "broker", 9093),
    (REGISTRY, "broker", 9093),
    (REGISTRY, STORE, 8443),
    *((each, "broker", port) for each in (STORE, BANK) for port in (9090, 9091)),
    *((each, "controller", 9093) for each in (STORE, BANK)),
    *((each, "postgres", 8008) for each in (BANK, REGISTRY, MIGRATE)),
    ("gateway", STORE, 9000),
    ("gateway", BANK, 9000),
    ("gateway", REGISTRY, 8443),
    ("prometheus", "broker", 9093),
    ("prometheus", "postgres", 5432),
    ("prometheus", STORE, 8443),
    ("strimzi", "postgres", 5432),
    ("pgo", "broker", 9093),
    ("broker", "postgres", 5432),
    ("postgres", "broker", 9093),
    *(
        (who, each, 8443)
        for who in ("stranger", "nobody")
        for each in (STORE, REGISTRY)
    ),
    *((who, "broker", 9093) for who in ("stranger", "nobody", "internet")),
    *((who, "postgres", 5432) for who in ("stranger", "nobody", "internet")),
    *((each, "api-server", 443) for each in OURS),
    *((each, "metadata", 80) for each in OURS),
    *((each, "internet", 443) for each in OURS if each != STORE),
    ("nobody", "internet", 443),
    ("broker", "internet", 443),
    ("pgbouncer", "internet", 443),
]


def said(arrow: Arrow) -> str:
    source, target, port = arrow
    return f"{source}->{target}:{port}"


def is_open(name: str, arrow: Arrow) -> bool:
    objects = environment(name)
    known = {peer.name: peer for peer in peers(objects)}
    source, target, port = arrow
    return allowed(objects, known[source], known[target], port)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_arrow_of_the_architecture_is_open(name: str) -> None:
    closed = [said(arrow) for arrow in ARROWS if not is_open(name, arrow)]
    assert not closed


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_no_arrow_is_closed(name: str) -> None:
    opened = [said(arrow) for arrow in NO_ARROWS if is_open(name, arrow)]
    assert not opened


def test_the_store_reaches_the_token_issuer_where_there_is_one() -> None:
    reaching = [
        name for name in ENVIRONMENTS if is_open(name, (STORE, "internet", 443))
    ]
    assert reaching == [*DELIVERED]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nobody_reaches_the_machine_under_a_local_cluster(name: str) -> None:
    for part in (STORE, BANK, REGISTRY, AUDIT, MIGRATE):
        assert not is_open(name, (part, "machine", 25000))


def test_backups_leave_for_the_object_storage_only() -> None:
    assert is_open("production", ("pgbackrest", "internet", 443))
    assert not is_open("kind", ("pgbackrest", "internet", 443))
    assert is_open("kind", ("pgbackrest", "Deployment/seaweedfs", 8333))
    assert not is_open("kind", (BANK, "Deployment/seaweedfs", 8333))


def test_without_a_policy_everything_is_open_and_one_direction_says_nothing() -> None:
    objects = environment("production")
    known = {peer.name: peer for peer in peers(objects)}
    store, postgres = known[STORE], known["postgres"]
    bare = [obj for obj in objects if obj["kind"] != "NetworkPolicy"]
    assert allowed(bare, store, postgres, 5432)
    assert not egress(objects, store, postgres, 5432)
    assert not ingress(objects, store, postgres, 5432)
    bank = known[BANK]
    only_out = [
        obj
        for obj in objects
        if obj["metadata"]["name"] not in ("ledger-from-clients", "ledger-inside")
    ]
    assert egress(only_out, bank, postgres, 5432)
    assert not allowed(only_out, bank, postgres, 5432)
