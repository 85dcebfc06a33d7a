"""A fault for each thing that the policies of the network look for."""

from __future__ import annotations

from tests.manifests import policies_network as network
from tests.manifests.planting import REMOVED, Fault

DENY_ALL = "NetworkPolicy/deny-all"
LEDGER = "NetworkPolicy/ledger-from-clients"
SMOKE = "AnalysisTemplate/store-smoke"
PORT = [{"port": 8443, "protocol": "TCP"}]
REGISTRY = {"matchLabels": {"app.kubernetes.io/name": "registry"}}
SHOP = {"matchLabels": {"app.kubernetes.io/name": "shop"}}
EVERYBODY = [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]

FAULTS = [
    Fault(
        network.nothing_is_open_by_default,
        DENY_ALL,
        "spec.podSelector",
        {
            "matchExpressions": [
                {
                    "key": "app.kubernetes.io/component",
                    "operator": "NotIn",
                    "values": ["smoke"],
                }
            ]
        },
        (
            f"{SMOKE}: no policy denies it all ingress",
            f"{SMOKE}: no policy denies it all egress",
        ),
    ),
    Fault(
        network.every_policy_is_used,
        "NetworkPolicy/smoke-to-store",
        "spec.podSelector",
        SHOP,
        "NetworkPolicy/smoke-to-store: {app.kubernetes.io/name=shop} selects no pod",
    ),
    Fault(
        network.every_policy_is_used,
        LEDGER,
        "spec.ingress.0.from.0.podSelector.matchExpressions.0.values.2",
        "shop",
        f"{LEDGER}: ingress: nobody is {{app.kubernetes.io/name=bank;"
        " app.kubernetes.io/component In shop}",
    ),
    Fault(
        network.every_policy_is_used,
        "NetworkPolicy/monitoring-to-bank",
        "spec.ingress.0.from.0.namespaceSelector.matchLabels",
        {"kubernetes.io/metadata.name": "spies"},
        "NetworkPolicy/monitoring-to-bank: ingress: nobody is {}",
    ),
    Fault(
        network.every_way_has_two_ends,
        "NetworkPolicy/registry-to-postgres",
        "",
        REMOVED,
        "Deployment/registry -> postgres:5432: the egress is missing",
    ),
    Fault(
        network.every_way_has_two_ends,
        "NetworkPolicy/smoke-to-store",
        "spec.egress.1",
        {"to": [{"podSelector": REGISTRY}], "ports": PORT},
        f"{SMOKE} -> Deployment/registry:8443: the ingress is missing",
    ),
    Fault(
        network.rules_name_their_ports_and_peers,
        LEDGER,
        "spec.ingress.0.ports",
        REMOVED,
        f"{LEDGER}: ingress: name the ports of each rule",
    ),
    Fault(
        network.rules_name_their_ports_and_peers,
        "NetworkPolicy/dns",
        "spec.egress.0.to",
        [],
        "NetworkPolicy/dns: egress: name the peers of each rule",
    ),
    Fault(
        network.nobody_unknown_comes_in,
        "NetworkPolicy/monitoring-to-bank",
        "spec.ingress.0.from",
        EVERYBODY,
        (
            "stranger -> Deployment/bank:9000: it must be denied",
            "nobody -> Deployment/bank:9000: it must be denied",
            "internet -> Deployment/bank:9000: it must be denied",
        ),
    ),
    Fault(
        network.nobody_unknown_comes_in,
        "NetworkPolicy/store-to-issuer",
        "spec.egress.0.to",
        [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
        "Rollout/store -> metadata:443: it must be denied",
    ),
]
