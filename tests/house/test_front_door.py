"""What people look for at the root of a repository is there, and agrees."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, text

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("once", "producers", "consumers")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_the_licence_is_the_one_that_the_metadata_names() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    licence = read("LICENSE").split()
    for words in ("Apache License Version 2.0, January 2004", "END OF TERMS AND"):
        assert words in " ".join(licence)
    assert "Copyright 2026 The Once authors" in read("LICENSE")
    assert len(licence) == 1580, "the whole text: so many words"


def test_there_is_one_version() -> None:
    newest, *_ = re.findall(r"(?m)^## \[(\d+\.\d+\.\d+)\]", read("CHANGELOG.md"))
    installed = metadata.metadata("once")
    assert newest == PROJECT["version"] == installed["Version"], "run 'make lint'"
    assert installed["License-Expression"] == PROJECT["license"]
    spelled = re.compile(rf"(?<![\d.]){re.escape(newest)}(?![\d.])")
    wheel = [path for path in files() if path.parts[0] in PACKAGES]
    assert [str(path) for path in wheel if spelled.search(text(path) or "")] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_a_page_at_the_root_leads_to_what_is_there(name: str) -> None:
    linked = LINK.findall(read(name))
    assert linked
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_weaknesses_are_reported_where_only_maintainers_read() -> None:
    assert "private advisory" in read("SECURITY.md")
    assert "@" not in read("SECURITY.md"), "an address that nobody reads"


def test_a_dev_container_is_built_from_what_its_context_has() -> None:
    told = json.loads(read(".devcontainer/devcontainer.json"))
    dockerfile = read(".devcontainer/Dockerfile")
    assert told["build"] == {"dockerfile": "Dockerfile", "context": ".."}
    assert f"\nUSER {told['remoteUser']}\n" in dockerfile
    copied = re.findall(r"(?m)^COPY (\S+) ", dockerfile)
    sent = re.findall(r"(?m)^!(.*)$", read(".dockerignore"))
    assert copied == sent
    assert [path for path in sent if not (ROOT / path).exists()] == []


def test_every_text_ends_and_is_spaced_as_editors_are_told() -> None:
    told = read(".editorconfig")
    for line in ("insert_final_newline", "trim_trailing_whitespace"):
        assert f"{line} = true" in told
    assert [str(path) for path in files() if not tidy(path)] == []


def tidy(path: Path) -> bool:
    content = text(path)
    if not content:
        return True
    return content.endswith("\n") and not re.search(r"[ \t]$", content, re.MULTILINE)


def test_a_text_that_is_not_tidy_is_found(tmp_path: Path) -> None:
    for content, good in (("a\n", True), ("a", False), ("a \n", False)):
        (tmp_path / "planted").write_bytes(content.encode())
        assert tidy(tmp_path / "planted") == good
