"""What runs in kind-offline in place of the operators' pods, before it runs there.

These are our own pods under the operators' names: nothing here says what Strimzi or PGO
would do.
"""

from __future__ import annotations

import json

import pytest

from local.kube.offline import stand_in_kafka, stand_in_postgres
from local.kube.offline.control_plane import ControlPlane
from tests.manifests.network import Peer, peers
from tests.manifests.overlays import Object, environment, kinds, listed
from tests.manifests.test_server_accepts import DRY, apply, kubectl

PARTS = ("kafka", "postgres")
# What Patroni gives while it runs, and what a broker that is a controller too has.
OWN = ("postgres-operator.crunchydata.com/role", "strimzi.io/controller-role")


def made(part: str) -> list[Object]:
    """By the stand-in, from the resources of the environment."""
    objects = environment("kind-offline")
    if part == "postgres":
        (ledger,) = kinds(objects, "PostgresCluster")
        return stand_in_postgres.documents(ledger["spec"])
    (kafka,) = kinds(objects, "Kafka")
    pools = kinds(objects, "KafkaNodePool")
    (pool,) = (each for each in pools if each["metadata"]["name"] == "broker")
    return stand_in_kafka.documents(kafka["spec"]["kafka"], pool["spec"])


def one(part: str, kind: str) -> Object:
    """The only one of its kind."""
    (found,) = kinds(made(part), kind)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_the_server_accepts_what_the_stand_in_applies(
    plane: ControlPlane, part: str
) -> None:
    done = apply(plane, listed(made(part)))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_its_pods_are_admitted_to_the_restricted_namespace(
    plane: ControlPlane, part: str
) -> None:
    stateful = one(part, "StatefulSet")
    template = stateful["spec"]["template"]
    spec = dict(template["spec"])
    claims = stateful["spec"]["volumeClaimTemplates"]
    spec["volumes"] += [
        {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]},
        }
        for claim in claims
    ]
    meta = {"name": part, "namespace": "once", "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    named = {"name": spec["serviceAccountName"], "namespace": "once"}
    kubectl(plane, "apply", "-f", "-", stdin=listed([{**account, "metadata": named}]))
    done = kubectl(plane, "create", *DRY, stdin=listed([pod]))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("part", "peer"), [("kafka", "broker"), ("postgres", "postgres")]
)
def test_its_pods_have_the_labels_that_policies_ask_for(part: str, peer: str) -> None:
    labels = one(part, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    known: dict[str, Peer] = {
        each.name: each for each in peers(environment("kind-offline"))
    }
    wanted = {
        name: value for name, value in known[peer].labels.items() if name not in OWN
    }
    assert wanted.items() <= labels.items()


def test_brokers_run_with_the_settings_of_the_resources() -> None:
    found = next(each["data"] for each in made("kafka") if each["kind"] == "ConfigMap")
    lines = found["server.properties"].splitlines()
    assert {
        "min.insync.replicas=2",
        "unclean.leader.election.enable=false",
        "ssl.client.auth=required",
        "auto.create.topics.enable=false",
    } <= set(lines)
    pod = one("kafka", "StatefulSet")["spec"]["template"]["spec"]
    assert pod["affinity"]["podAntiAffinity"]


def test_instances_run_with_the_settings_of_the_resource() -> None:
    found = next(
        each["data"] for each in made("postgres") if each["kind"] == "ConfigMap"
    )
    said = json.loads(found["patroni.json"])
    dcs = said["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] and dcs["synchronous_mode_strict"]
    assert dcs["ttl"] == 20
    assert dcs["postgresql"]["parameters"]["synchronous_commit"] == "on"
    assert said["postgresql"]["pg_hba"][-2:] == [
        "hostssl ledger migrator,bank,audit all scram-sha-256",
        "hostssl registry registry all scram-sha-256",
    ]
