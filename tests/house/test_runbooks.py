"""A runbook names all that has to be changed, under the names that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from pydantic_settings import BaseSettings

from tests.house.tree import PRODUCT, ROOT, files, modules, text

RUNBOOKS = [path for path in files() if path.parts[:2] == ("docs", "runbooks")]
RECREATED = Path("docs/runbooks/topic-recreated.md")
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
