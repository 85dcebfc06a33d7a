"""What a workflow may do: nothing by default, and only with code that is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, text

WORKFLOWS = [
    path
    for path in files()
    if path.parts[:2] == (".github", "workflows") and path.suffix in (".yml", ".yaml")
]
USES = re.compile(r"^\s*(?:-\s+)?uses:\s*(?P<what>.*)$")
PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}\s+# v\d+(\.\d+)*$")


def unpinned(content: str) -> list[str]:
    used = (USES.match(line) for line in content.splitlines())
    return [
        match["what"]
        for match in used
        if match and not match["what"].startswith("./")
        if not PINNED.match(match["what"])
    ]


def test_there_is_a_workflow_for_every_push_and_pull_request() -> None:
    content = text(Path(".github/workflows/ci.yml")) or ""
    assert re.search(r"^  push:", content, re.MULTILINE)
    assert re.search(r"^  pull_request:", content, re.MULTILINE)
    assert "bash .ci/run" in content, "CI and the workflow run the same script"


@pytest.mark.parametrize("path", WORKFLOWS, ids=str)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(path: Path) -> None:
    content = text(path) or ""
    assert not unpinned(content)


@pytest.mark.parametrize("path", WORKFLOWS, ids=str)
def test_a_workflow_starts_with_no_permission_at_all(path: Path) -> None:
    assert re.search(r"^permissions: \{\}$", text(path) or "", re.MULTILINE)


def test_an_action_that_is_not_pinned_is_found() -> None:
    commit = "0123456789" * 4
    for bad in ("a/b@v4", "a/b@main", f"a/b@{commit}", f"a/b@{commit[:-1]} # v4"):
        assert unpinned(f"      - uses: {bad}\n") == [bad]
    assert not unpinned(f"        uses: a/b/c@{commit} # v4.1.0\n")
    assert not unpinned("      - uses: ./.github/actions/own\n")


def test_ci_stops_at_the_first_error() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
