"""An environment that is made by `make environment` is as good as those that are here.

In a copy of the tree, from which the names of this repository's makers have gone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local.kube.new_environment import LIKE, Asked, make
from local.processes.errors import StackError
from tests.house.test_docs import PLACEHOLDER
from tests.house.tree import ROOT, files

MINE = Asked(
    name="acme-9",
    like="production",
    domain="pay.test.acme.net",  # with the name of another environment in it
    account="123456789012",
    issuer="login.acme.net",
    bucket="acme-once-ledger",
    region="eu-west-1",
    repository="Acme/once-fork",
)
DIGEST = re.compile(r"sha256:0{64}")  # the deploy workflow's


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in files():
        if (ROOT / path).is_file():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tmp_path / path)
    return tmp_path


@pytest.mark.parametrize("like", LIKE)
def test_nothing_of_another_environment_is_left_in_it(tree: Path, like: str) -> None:
    written = make(tree, replace(MINE, like=like))
    mine = [path for path in written if path.parent.name == MINE.name]
    assert len(mine) >= 15
    for path in written:
        content = re.sub(r"(?m)^ *#.*$", "", DIGEST.sub("", path.read_text()))
        if path in mine:
            assert not PLACEHOLDER.search(content), path
            assert not re.search(r"(?<!op: |pay\.)\b(?:test|production|dev)\b", content)
        assert "eu-central-1" not in content and "once-platform/once" not in content


def test_names_of_yours_stay_as_you_said_them(tree: Path) -> None:
    written = make(tree, replace(MINE, like="test", bucket="acme-test-ledger"))
    mine = "".join(p.read_text() for p in written if p.parent.name == MINE.name)
    for said in ("store.pay.test.acme.net", "argocd.pay.test.acme.net"):
        assert said in mine
    assert "https://login.acme.net" in mine and "acme-test-ledger" in mine


def test_a_second_one_may_change_what_all_have_in_common(tree: Path) -> None:
    make(tree, MINE)
    make(tree, replace(MINE, name="acme-10", region=None, repository=None))
    make(tree, replace(MINE, name="acme-11", region="us-east-1", repository="b/c"))
    keys = [
        (tree / f"argocd/namespace/overlays/{name}/kustomization.yaml").read_text()
        for name in ("acme-9", "acme-10", "acme-11")
    ]
    assert all("us-east-1" in key and "eu-west-1" not in key for key in keys)
    environment = tree / "argocd/environments/acme-10/kustomization.yaml"
    assert "https://github.com/b/c.git" in environment.read_text()


def test_every_part_of_the_environment_it_is_like_is_there(tree: Path) -> None:
    make(tree, MINE)

    def parts(name: str) -> set[Path]:
        found = (path for path in tree.glob("**/*.yaml") if path.parent.name == name)
        return {path.parent.parent / path.name for path in found}

    assert parts(MINE.name) == parts("production")


def test_it_is_rendered_and_keeps_every_policy(tree: Path) -> None:
    make(tree, MINE)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    asked = [
        "tests/manifests/test_policies.py",
        "-q",
        "-k",
        "keeps_a_policy and acme-9-",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *asked],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 40, done.stdout[-500:]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "production"}, "environment production is there"),
        ({"name": "EU"}, "name: 'EU' is none"),
        ({"name": "../x"}, "name: '../x' is none"),
        ({"like": "dev"}, "like: 'dev' is none of test, production"),
        ({"domain": "acme"}, "domain: 'acme' is none"),
        ({"account": "000000000001"}, "account: '000000000001' is none"),
        ({"account": "12345"}, "account: '12345' is none"),
        ({"region": "here"}, "region: 'here' is none"),
        ({"repository": "once"}, "repository: 'once' is none"),
    ],
)
def test_what_is_no_name_is_refused_and_nothing_is_written(
    tree: Path, wrong: dict[str, str], said: str
) -> None:
    before = {path: path.read_bytes() for path in tree.glob("**/*") if path.is_file()}
    with pytest.raises(StackError, match=re.escape(said)):
        make(tree, replace(MINE, **wrong))
    assert before == {p: p.read_bytes() for p in tree.glob("**/*") if p.is_file()}
