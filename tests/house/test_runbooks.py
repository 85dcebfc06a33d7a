"""A runbook names all that has to be changed, under the names that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from tests.house.tree import PRODUCT, ROOT, files, modules, text

RUNBOOKS = [path for path in files() if path.parts[:2] == ("docs", "runbooks")]
RECREATED = Path("docs/runbooks/topic-recreated.md")
AUDIT = "consumers/bank/k8s/base/audit-cron-job.yaml"
PATH = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:yaml|env|md|py|sql|avsc))`")

DECLARED = re.compile(r"^class \w*Settings\(", re.MULTILINE)
TOPIC = re.compile(r"(?:name: |- )transfers(?:-value|[,}]|$)", re.MULTILINE)


def settings() -> Iterator[str]:
    """Every setting of every program, as its environment calls it."""
    for module in modules():
        if module.is_product and DECLARED.search(module.source):
            import_module(module.name)
    waiting = [BaseSettings]
    while waiting:
        found = waiting.pop()
        waiting += found.__subclasses__()
        if found.__module__.partition(".")[0] in PRODUCT:
            prefix = found.model_config["env_prefix"]
            yield from (f"{prefix}{name}".upper() for name in found.model_fields)


def named(what: str, content: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(what)}(?!\w)", content) is not None


def test_every_topic_setting_is_named_where_topics_get_new_names() -> None:
    asked = {name for name in settings() if name.endswith("_TOPIC")}
    assert {"BANK_TOPIC", "STORE_RECEIPTS_TOPIC", "ONCE_RESULTS_TOPIC"} <= asked
    content = text(RECREATED) or ""
    assert sorted(name for name in asked if not named(name, content)) == []


def test_every_manifest_with_a_topic_is_named_where_topics_get_new_names() -> None:
    manifests = [path for path in files() if path.suffix == ".yaml"]
    ours = [path for path in manifests if path.parts[0] in ("strimzi", "consumers")]
    naming = [str(path) for path in ours if TOPIC.search(text(path) or "")]
    assert "strimzi/base/users.yaml" in naming
    content = text(RECREATED) or ""
    assert [path for path in naming if f"`{path}`" not in content] == []


def test_every_user_with_a_topic_is_named_where_topics_get_new_names() -> None:
    users = yaml.safe_load_all((ROOT / "strimzi/base/users.yaml").read_text())
    literal = {
        user["metadata"]["name"]
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        if acl["resource"]["type"] == "topic"
        if acl["resource"]["patternType"] == "literal"
    }
    assert literal >= {"store", "bank", "audit"}
    content = text(RECREATED) or ""
    assert [name for name in sorted(literal) if f"`{name}`" not in content] == []


@pytest.mark.parametrize("path", RUNBOOKS, ids=str)
def test_every_file_that_a_runbook_names_is_there(path: Path) -> None:
    said = PATH.findall(text(path) or "")
    assert [name for name in said if not (ROOT / name).exists()] == []


def test_the_toolbox_goes_the_ways_of_the_audit_as_a_user_who_only_looks() -> None:
    pod = yaml.safe_load((ROOT / "docs/runbooks/toolbox.yaml").read_text())
    job = yaml.safe_load((ROOT / AUDIT).read_text())["spec"]["jobTemplate"]["spec"]
    audits = job["template"]
    labels, theirs = pod["metadata"]["labels"], audits["metadata"]["labels"]
    differ = {name for name in theirs if labels[name] != theirs[name]}
    assert differ == {"app.kubernetes.io/component"}
    assert "app.kubernetes.io/component: audit" not in policies(), "it lets a part in"
    spec = audits["spec"]
    assert pod["spec"]["securityContext"] == spec["securityContext"]
    assert pod["spec"]["volumes"][1:3] == spec["volumes"][1:3]
    assert secrets(pod) - secrets({"spec": spec}) == {"tools"}
    tools = (ROOT / "strimzi/base/users.yaml").read_text().split("name: tools\n")[1]
    allowed = set(re.findall(r"operations: \[([\w, ]+)\]", tools))
    assert "Read" in allowed
    assert not {"Write", "Alter"} & set(", ".join(allowed).split(", "))


def test_the_names_of_the_commands_on_kubernetes_are_those_of_the_manifests() -> None:
    page = (ROOT / "docs/runbooks/README.md").read_text()
    manifests = "".join(
        text(path) or ""
        for path in files()
        if path.suffix == ".yaml" and path.parts[0] in ("strimzi", "postgres")
    )
    for label in re.findall(r"((?:[\w-]+\.)+(?:io|com)/[\w-]+)=([\w-]+)", page):
        if "argoproj" not in label[0] and "keda" not in label[0]:
            assert re.search(rf'{label[0]}: "?{label[1]}"?$', manifests, re.MULTILINE)
    for name, kind, path in (
        ("audit", "CronJob", AUDIT),
        ("bank", "Deployment", "consumers/bank/k8s/base/deployment.yaml"),
        (
            "bank",
            "ScaledObject",
            "consumers/bank/k8s/components/cloud/scaled-object.yaml",
        ),
        ("store", "Rollout", "producers/store/k8s/base/rollout.yaml"),
    ):
        assert re.search(rf"\b{kind.lower()}[ /]{name}\b", page), kind
        made = list(yaml.safe_load_all((ROOT / path).read_text()))
        assert (kind, name) in [(d["kind"], d["metadata"]["name"]) for d in made]


def policies() -> str:
    """The network policies of those that the audit talks to, and its own."""
    folders = ("consumers/bank/k8s", "strimzi", "postgres", "avro/k8s")
    found = (ROOT / folder / "base/network-policies.yaml" for folder in folders)
    return "".join(path.read_text() for path in found)


def secrets(pod: dict[str, Any]) -> set[str]:
    """The names of the Secrets that it mounts."""
    volumes = pod["spec"]["volumes"]
    sources = [source for each in volumes for source in projected(each)]
    return {
        source["secret"].get("name") or source["secret"]["secretName"]
        for source in sources
    }


def projected(volume: dict[str, Any]) -> list[dict[str, Any]]:
    sources = volume.get("projected", {}).get("sources", [volume])
    return [source for source in sources if "secret" in source]
