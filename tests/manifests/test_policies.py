"""What we ask of our manifests beyond what a server would accept, and that we do ask.

Each policy looks at every overlay or environment, and is shown one fault of each sort
that it is there for: a good environment in which one thing was spoilt.
"""

from __future__ import annotations

import pytest

from tests.manifests import (
    faults_argocd,
    faults_containers,
    faults_edge,
    faults_monitoring,
    faults_network,
    faults_objects,
    faults_workloads,
)
from tests.manifests import policies_argocd as argocd
from tests.manifests import policies_containers as containers
from tests.manifests import policies_edge as edge
from tests.manifests import policies_kafka as kafka
from tests.manifests import policies_monitoring as monitoring
from tests.manifests import policies_network as network
from tests.manifests import policies_operated as operated
from tests.manifests import policies_workloads as workloads
from tests.manifests.overlays import DELIVERED, ENVIRONMENTS, environment
from tests.manifests.planting import Fault, Policy

THEMES = (
    argocd,
    containers,
    edge,
    kafka,
    monitoring,
    network,
    operated,
    workloads,
)
POLICIES: list[Policy] = [
    policy
    for theme in THEMES
    for name, policy in vars(theme).items()
    if callable(policy) and getattr(policy, "__module__", "") == theme.__name__
    if not name.startswith("_") and name != "allowed_name"
]
FAULTS: list[Fault] = [
    *faults_containers.FAULTS,
    *faults_workloads.FAULTS,
    *faults_edge.FAULTS,
    *faults_network.FAULTS,
    *faults_objects.FAULTS,
    *faults_argocd.FAULTS,
    *faults_monitoring.FAULTS,
]
# On a laptop an image is whatever was built last.
DELIVERED_ONLY = {containers.our_images_have_a_digest}
# There the stand-in's cluster has all kinds from the start (local/kube/crds).
WITH_OPERATORS_ONLY = {argocd.every_kind_has_a_bringer}


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        pytest.param(name, policy, id=f"{name}-{policy.__name__}")
        for name in ENVIRONMENTS
        for policy in POLICIES
        if name in DELIVERED or policy not in DELIVERED_ONLY
        if name != "kind-offline" or policy not in WITH_OPERATORS_ONLY
    ],
)
def test_an_environment_keeps_a_policy(name: str, policy: Policy) -> None:
    assert policy(environment(name)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_found_and_nothing_else(fault: Fault) -> None:
    assert fault.policy(fault.plant(environment(fault.where))) == fault.findings


def test_every_policy_was_shown_a_fault() -> None:
    shown = {fault.policy for fault in FAULTS}
    assert [policy.__name__ for policy in POLICIES if policy not in shown] == []
