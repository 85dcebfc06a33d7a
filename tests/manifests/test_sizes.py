"""The table of sizes in docs/kubernetes.md is the sum of what the manifests ask for."""

from __future__ import annotations

import pytest

from tests.house.tree import ROOT
from tests.manifests.overlays import Object
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
