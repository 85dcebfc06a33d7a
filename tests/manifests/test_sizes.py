"""The table of sizes in docs/kubernetes.md is the sum of what the manifests ask for."""

from __future__ import annotations

import pytest

from local.reference import capacity
from tests.house.tree import ROOT
from tests.manifests.overlays import Object, dig, environment, kinds
from tests.manifests.sizes import GIB, SHOWN, Sizes, quantity, row, sizes

PAGE = ROOT / "docs" / "kubernetes.md"


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_says_what_an_environment_asks_for(name: str) -> None:
    table = PAGE.read_text().split("## Sizes\n")[1].split("\n## ")[0]
    assert row(name) in table.splitlines()


def test_quantities_are_read_as_kubernetes_writes_them() -> None:
    said = ["250m", "2", 2, "512Mi", "1Ti"]
    assert list(map(quantity, said)) == [0.25, 2, 2, GIB / 2, 1024 * GIB]


def test_replicas_count_and_jobs_do_not() -> None:
    bounds = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}
    template = {"spec": {"containers": [{"resources": bounds}]}}
    objects: list[Object] = [
        {
            "kind": "Deployment",
            "metadata": {"name": "a"},
            "spec": {"replicas": 3, "template": template},
        },
        {"kind": "Job", "metadata": {"name": "b"}, "spec": {"template": template}},
    ]
    assert sizes(objects) == Sizes(cpu=3, cpu_max=6, memory=3 * GIB)


# What docs/reference/sizes.md says of production.
PROMISED = capacity.Plan(per_second=200, peak=5)


def one(kind: str, name: str) -> Object:
    """That object of production."""
    (found,) = (
        each
        for each in kinds(environment("production"), kind)
        if each["metadata"]["name"] == name
    )
    return found


def test_production_holds_what_is_promised_of_it() -> None:
    needed = capacity.sizes(PROMISED, capacity.costs())
    broker, cluster = one("KafkaNodePool", "broker")["spec"], one(
        "PostgresCluster", "ledger"
    )
    (instance,) = cluster["spec"]["instances"]
    (volume,) = broker["storage"]["volumes"]
    claim = dig(instance, "dataVolumeClaimSpec", "resources", "requests", "storage")
    stores = one("Rollout", "store")["spec"]
    (store,) = dig(stores, "template", "spec", "containers")
    workers = one("ScaledObject", "bank")["spec"]
    enough = {
        "a broker's volume": (quantity(volume["size"]) / GIB, needed.broker_gib_each),
        "a broker's cores": (_cores(broker), needed.broker_cores_each),
        "the ledger's volume": (quantity(claim) / GIB, needed.ledger_gib_each),
        "a database server's cores": (_cores(instance), needed.primary_cores_each),
        "the Stores' cores": (stores["replicas"] * _cores(store), needed.store_cores),
        "the most workers": (workers["maxReplicaCount"], needed.workers),
        "partitions": (
            one("KafkaTopic", "transfers")["spec"]["partitions"],
            needed.partitions,
        ),
    }
    assert {name: both for name, both in enough.items() if both[0] < both[1]} == {}


def test_a_promise_that_is_ten_times_as_large_is_not_held() -> None:
    ten = capacity.Plan(per_second=2_000, peak=5)
    assert capacity.sizes(ten, capacity.costs()).ledger_gib_each > 1_500


def _cores(bounded: Object) -> float:
    return quantity(dig(bounded, "resources", "limits", "cpu"))
