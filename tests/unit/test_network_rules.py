"""NetworkPolicies as rules of a packet filter, read as nft would read them."""

from __future__ import annotations

from typing import Any

from local.kube.offline.policies import Seen, rules

Object = dict[str, Any]
HERE, THERE = "worker", "worker2"


def pod(name: str, address: str, node: str = HERE, **spec: object) -> Object:
    return {
        "metadata": {"namespace": "once", "labels": {"app": name}},
        "spec": {"nodeName": node, **spec},
        "status": {"podIP": address, "phase": "Running"},
    }


def policy(**directions: list[Object]) -> Object:
    """Of the pods of `bank`."""
    return {
        "metadata": {"namespace": "once"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "bank"}},
            "policyTypes": [name.title() for name in directions],
            **directions,
        },
    }


def chain(said: str, name: str) -> list[str]:
    """The lines of a chain."""
    body = said.partition(f"chain {name} {{\n")[2].partition("    }")[0]
    return [line.strip() for line in body.splitlines()]


BANK, STORE = pod("bank", "10.244.1.2"), pod("store", "10.244.2.3", THERE)
SPACES = {"once": {"team": "payments"}, "monitoring": {"team": "platform"}}
TO_STORE = {"podSelector": {"matchLabels": {"app": "store"}}}


def test_a_pod_that_no_policy_selects_is_open() -> None:
    said = rules(Seen([policy(ingress=[])], [BANK, STORE], SPACES), THERE)
    assert "drop" not in said


def test_a_selected_pod_is_closed_in_the_directions_of_the_policy_alone() -> None:
    said = rules(Seen([policy(ingress=[])], [BANK, STORE], SPACES), HERE)
    assert chain(said, "ingress_10_244_1_2") == ["drop"]
    assert "ip daddr 10.244.1.2 jump ingress_10_244_1_2" in said
    assert "egress" not in said


def test_a_rule_opens_its_ports_to_its_pods_wherever_they_run() -> None:
    ports = [{"port": 9093}, {"port": 53, "protocol": "UDP"}]
    ports.append({"port": 8000, "endPort": 8005})
    opened = policy(egress=[{"to": [TO_STORE], "ports": ports}])
    said = rules(Seen([opened], [BANK, STORE], SPACES), HERE)
    assert chain(said, "egress_10_244_1_2") == [
        "ip daddr { 10.244.2.3 } tcp dport 9093 return",
        "ip daddr { 10.244.2.3 } udp dport 53 return",
        "ip daddr { 10.244.2.3 } tcp dport 8000-8005 return",
        "drop",
    ]


def test_a_rule_without_pods_that_match_opens_nothing() -> None:
    nobody = {"podSelector": {"matchLabels": {"app": "nobody"}}}
    said = rules(Seen([policy(ingress=[{"from": [nobody]}])], [BANK], SPACES), HERE)
    assert chain(said, "ingress_10_244_1_2") == ["drop"]


def test_an_empty_rule_opens_everything() -> None:
    said = rules(Seen([policy(ingress=[{}])], [BANK], SPACES), HERE)
    assert chain(said, "ingress_10_244_1_2") == ["return", "drop"]


def test_pods_of_other_namespaces_are_meant_by_the_labels_of_these_alone() -> None:
    prometheus = pod("prometheus", "10.244.2.9", THERE)
    prometheus["metadata"]["namespace"] = "monitoring"
    platform = {"namespaceSelector": {"matchLabels": {"team": "platform"}}}
    said = rules(
        Seen(
            [policy(ingress=[{"from": [platform]}])], [BANK, STORE, prometheus], SPACES
        ),
        HERE,
    )
    assert chain(said, "ingress_10_244_1_2") == [
        "ip saddr { 10.244.2.9 } return",
        "drop",
    ]


def test_a_block_of_addresses_has_its_exceptions() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    said = rules(Seen([policy(egress=[{"to": [block]}])], [BANK], SPACES), HERE)
    assert chain(said, "egress_10_244_1_2") == [
        "ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } return",
        "drop",
    ]


def test_what_is_over_or_has_its_nodes_address_is_nobodys() -> None:
    over = pod("store", "10.244.1.7")
    host = pod("store", "172.18.0.3", hostNetwork=True)
    over["status"]["phase"] = "Succeeded"
    opened = policy(ingress=[{"from": [TO_STORE]}])
    said = rules(Seen([opened], [BANK, over, host], SPACES), HERE)
    assert chain(said, "ingress_10_244_1_2") == ["drop"]
