"""What `infra/aws` makes is what the manifests take for granted, by the same names."""

from __future__ import annotations

import re
from functools import cache

from tests.house.tree import ROOT
from tests.manifests.overlays import dig, environment, kinds
from tests.manifests.sizes import GIB, sizes

FOLDER = ROOT / "infra" / "aws"
# Of the default instance type: what Kubernetes gives to pods of 8 cores and 32 GiB.
CORES, MEMORY = 7.9, 28 * GIB
ZONES = 3


@cache
def written() -> str:
    return "".join(file.read_text() for file in sorted(FOLDER.glob("*.tf")))


def default(variable: str) -> str:
    """What a variable is unless it is said."""
    block = written().split(f'variable "{variable}" {{')[1].split("\n}\n")[0]
    found = re.search(r"default\s*=\s*(.+)", block)
    assert found is not None, variable
    return found[1].strip('"')


def test_roles_have_the_names_that_service_accounts_ask_for() -> None:
    asked = {
        str(dig(each, "metadata", "annotations")["eks.amazonaws.com/role-arn"])
        for each in kinds(environment("production"), "ServiceAccount")
        if "eks.amazonaws.com/role-arn" in (dig(each, "metadata", "annotations") or {})
    }
    assert len(asked) == 2
    for arn in asked:
        role = arn.rpartition("/")[2]
        assert re.search(rf'role\s*=\s*"{role}"', written()), role


def test_service_accounts_are_those_that_roles_trust() -> None:
    for each in kinds(environment("production"), "ServiceAccount"):
        if each["metadata"]["name"] == "secrets-reader":
            space = each["metadata"].get("namespace", "argocd")
            assert f'"{space}:secrets-reader"' in written()


def test_secrets_are_there_under_the_names_that_are_asked_for() -> None:
    asked = {
        dig(each, "remoteRef", "key")
        for secret in kinds(environment("production"), "ExternalSecret")
        for each in secret["spec"]["data"]
    }
    made = re.search(
        r'aws_secretsmanager_secret" "needed" \{\s*for_each\s*=\s*toset\(\[(.+?)\]\)',
        written(),
    )
    assert made is not None
    names = set(re.findall(r'"([\w-]+)"', made[1]))
    assert {f"once/production/{name}" for name in names} == asked


def test_the_key_of_volumes_is_the_one_that_is_made() -> None:
    (storage,) = kinds(environment("production"), "StorageClass")
    alias = storage["parameters"]["kmsKeyId"].rpartition(":")[2]
    assert f'"{alias}"' in written()


def test_backups_are_locked_for_as_long_as_they_are_kept() -> None:
    (cluster,) = kinds(environment("production"), "PostgresCluster")
    kept = dig(cluster, "spec", "backups", "pgbackrest", "global")
    assert default("backup_days") == str(kept["repo2-retention-full"])


def test_nodes_have_room_for_production_while_one_is_drained() -> None:
    assert default("instance_type") == "m7i.2xlarge", "CORES and MEMORY are of it"
    nodes = ZONES * int(default("nodes_per_zone")) - 1
    asked = sizes(environment("production"))
    assert asked.cpu < nodes * CORES * 0.8, "operators, Argo CD and a green Store, too"
    assert asked.memory < nodes * MEMORY * 0.8
