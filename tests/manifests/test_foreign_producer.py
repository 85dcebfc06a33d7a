"""The component that lets a service of somebody's own in: to there, and no further."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from local.kube import programs
from local.kube.offline.control_plane import ControlPlane
from tests.house.tree import ROOT
from tests.manifests import policies_kafka, policies_network
from tests.manifests.network import Peer, allowed, ingress, peers
from tests.manifests.overlays import (
    ENVIRONMENTS,
    Object,
    environment,
    identity,
    kinds,
    listed,
    render,
)
from tests.manifests.pods import pods

COMPONENT = ROOT / "strimzi" / "components" / "foreign-producer"
SERVICE = ROOT / "examples" / "kubernetes" / "shop.yaml"
LABEL = {"once.payments/foreign-producer": "true"}
REGISTRY = "Deployment/registry"
REACHED = {("broker", 9093), (REGISTRY, 8443)}


def component(name: str, folder: Path) -> list[Object]:
    """What an environment's Kafka is with it and was not without it."""
    strimzi = ROOT / "strimzi" / "overlays" / name
    told = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "once",
        "resources": [os.path.relpath(strimzi, folder.resolve())],
        "components": [os.path.relpath(COMPONENT, folder.resolve())],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(told))
    programs.ensure(["kubectl"], print)
    made = render(folder)
    assert made.error == ""
    before = {identity(obj) for obj in environment(name)}
    found = yaml.safe_load_all(made.text)
    return [obj for obj in found if identity(obj) not in before]


def service() -> Peer:
    """The pods of the example."""
    objects = list(yaml.safe_load_all(SERVICE.read_text()))
    (space,) = kinds(objects, "Namespace")
    (pod,) = pods(objects)
    assert pod.namespace == space["metadata"]["name"]
    of_namespace = space["metadata"]["labels"]
    return Peer("shop", pod.namespace, pod.labels, of_namespace=of_namespace)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_service_with_the_label_reaches_kafka_and_the_registry_alone(
    name: str, tmp_path: Path
) -> None:
    before = environment(name)
    objects = [*before, *component(name, tmp_path)]
    shop = service()
    around = [peer for peer in peers(before) if peer.namespace == "once"]
    ports = (8432, 8443, 5432, 8008, 9000, 9090, 9091, 9093, 9404)
    reached = {
        (peer.name, port)
        for peer in around
        for port in ports
        if peer.labels and allowed(objects, shop, peer, port)
    }
    assert reached == REACHED
    assert not any(ingress(before, shop, peer, 9093) for peer in around if peer.labels)


@pytest.mark.parametrize(
    "peer",
    [
        Peer("no pod's label", "shop", {"app": "shop"}, of_namespace=LABEL),
        Peer("no namespace's label", "shop", LABEL),
        Peer("in our namespace", "once", LABEL),
        Peer(
            "labels that say no", "shop", LABEL, of_namespace=dict.fromkeys(LABEL, "")
        ),
    ],
    ids=lambda peer: peer.name,
)
def test_who_lacks_one_of_the_two_labels_is_kept_out(
    peer: Peer, tmp_path: Path
) -> None:
    objects = [*environment("production"), *component("production", tmp_path)]
    known = {each.name: each for each in peers(objects)}
    for target, port in REACHED:
        assert not ingress(objects, peer, known[target], port)


def test_its_user_may_write_payments_and_read_results(tmp_path: Path) -> None:
    (user,) = kinds(component("production", tmp_path), "KafkaUser")
    acls = user["spec"]["authorization"]["acls"]
    assert {
        (each["resource"]["type"], each["resource"]["name"], operation)
        for each in acls
        for operation in each["operations"]
        if operation != "Describe"
    } == {
        ("topic", "transfers", "Write"),
        ("topic", "transfer-results", "Read"),
        ("group", "foreign-producer", "Read"),
    }


def test_an_environment_with_it_keeps_the_policies(tmp_path: Path) -> None:
    objects = [*environment("production"), *component("production", tmp_path)]
    for policy in (
        policies_kafka.users_may_do_what_they_need_and_no_more,
        policies_network.every_way_has_two_ends,
        policies_network.rules_name_their_ports_and_peers,
        policies_network.nobody_unknown_comes_in,
    ):
        assert policy(objects) == [], policy.__name__


def test_the_server_accepts_it_and_the_example(
    plane: ControlPlane, tmp_path: Path
) -> None:
    example = yaml.safe_load_all(SERVICE.read_text())
    made = [*component("production", tmp_path), *kinds(list(example), "Namespace")]
    dry = ("--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    done = plane.kubectl("apply", *dry, stdin=listed(made))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_a_service_that_runs_wild_is_slowed_down_before_others_are(
    tmp_path: Path,
) -> None:
    (user,) = kinds(component("production", tmp_path), "KafkaUser")
    assert user["spec"]["quotas"].keys() == {
        "producerByteRate",
        "consumerByteRate",
        "requestPercentage",
        "controllerMutationRate",
    }
    assert all(limit > 0 for limit in user["spec"]["quotas"].values())
