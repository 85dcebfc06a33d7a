"""A ledger that is restored beside the first: one object, which fits what is there.

That PGO fills it was seen once, by hand, with the real operator; here it is rendered.
"""

from __future__ import annotations

import pytest
import yaml

from local.kube.offline.control_plane import ControlPlane
from tests.house.tree import ROOT
from tests.manifests.network import Peer, allowed, peers
from tests.manifests.overlays import Object, environment, kinds, listed, render
from tests.manifests.test_server_accepts import apply

WITH_BACKUPS = ("kind", "dev", "test", "production")
FIRST, SECOND = "ledger", "ledger2"


def made(name: str) -> list[Object]:
    """What is applied by hand."""
    found = render(ROOT / "postgres" / "restore" / name)
    assert found.error == "", found.error
    return list(yaml.safe_load_all(found.text))


def postgres(objects: list[Object]) -> Peer:
    """An instance of the second one."""
    return next(
        peer
        for peer in peers(objects)
        if peer.name == "postgres" and SECOND in peer.labels.values()
    )


@pytest.mark.parametrize("name", WITH_BACKUPS)
def test_it_is_one_object_that_the_server_accepts(
    plane: ControlPlane, name: str
) -> None:
    (cluster,) = made(name)
    assert (cluster["kind"], cluster["metadata"]["name"]) == ("PostgresCluster", SECOND)
    done = apply(plane, listed([cluster]))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("name", WITH_BACKUPS)
def test_it_comes_from_the_backups_and_leaves_them_alone(name: str) -> None:
    (cluster,) = made(name)
    (first,) = kinds(environment(name), "PostgresCluster")
    spec, before = cluster["spec"], first["spec"]
    source = spec["dataSource"]["postgresCluster"]
    repository = spec["backups"]["pgbackrest"]
    assert source["clusterName"] == FIRST
    assert source["repoName"] in {each["name"] for each in repository["repos"]}
    paths = {
        each["backups"]["pgbackrest"]["global"]["repo2-path"] for each in (spec, before)
    }
    assert len(paths) == 2
    assert spec["instances"][0]["resources"] == before["instances"][0]["resources"]


@pytest.mark.parametrize("name", WITH_BACKUPS)
def test_it_keeps_away_from_itself_and_not_from_the_first(name: str) -> None:
    (cluster,) = made(name)
    places = yaml.safe_dump([cluster["spec"]["instances"], cluster["spec"]["proxy"]])
    said = f"postgres-operator.crunchydata.com/cluster: {FIRST}\n"
    assert said not in places
    assert said.replace(FIRST, SECOND) in places


@pytest.mark.parametrize("name", WITH_BACKUPS)
def test_policies_and_certificate_of_the_first_fit_it(name: str) -> None:
    objects = [*environment(name), *made(name)]
    known = {peer.name: peer for peer in peers(objects)}
    instance = postgres(objects)
    assert allowed(objects, known["Deployment/bank"], instance, 5432)
    assert allowed(objects, instance, known["api-server"], 443)
    assert not allowed(objects, known["Rollout/store"], instance, 5432)
    (certificate,) = (
        each
        for each in kinds(objects, "Certificate")
        if each["metadata"]["name"] == "ledger-tls"
    )
    wanted = {
        other.replace(FIRST, SECOND)
        for other in certificate["spec"]["dnsNames"]
        if SECOND not in other
    }
    assert wanted <= set(certificate["spec"]["dnsNames"])
