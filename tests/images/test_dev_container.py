"""The dev container: its image is built, and the demo runs in it, as its user.

Nothing is fetched in there, for an engine of our own knows no world outside: packages
of Debian are in the base, and what pip and Maven bring is brought by this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.kube import own_images
from local.kube.offline.environment import Offline
from local.kube.offline.own_base import Base
from local.stack.parts import find_or_fetch
from tests.fix_stack import ROOT
from tests.house.tree import files
from tests.images.engine import LABEL, Engine

FOLDER = ROOT / ".devcontainer"
NAME = "once/dev:test"
# Those of local/prerequisites and of the Dockerfile; the load test's and the browser's
# are left out, which no demo needs.
GROUPS = "python stack"
PACKAGES = (
    *("ca-certificates", "curl", "default-jre-headless", "etcd-server", "git", "make"),
    *("maven", "postgresql", "procps", "python3", "python3-venv", "sudo"),
)
USER = 1000
DEMO_SECONDS_MAX = 600


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built as its Dockerfile says, on a base of ours where none can be pulled."""
    docker = engine.docker
    dockerfile = (FOLDER / "Dockerfile").read_text()
    if isinstance(engine.environment, Offline):
        base = Base("once/debian:dev", "dev", PACKAGES)
        dockerfile = engine.environment.dockerfile(dockerfile, print, base)
    context = tmp_path_factory.mktemp("context")
    (context / "local").mkdir()
    shutil.copy2(ROOT / "local" / "prerequisites", context / "local")
    wanted = ("--build-arg", f"WANTED={GROUPS}")
    arguments = ("build", *wanted, "--tag", NAME, "--file", "-", str(context))
    docker.run(*arguments, stdin=dockerfile)
    return NAME


@pytest.fixture(scope="module")
def checkout(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """This working tree, of the container's user, and the jars that were fetched."""
    made = tmp_path_factory.mktemp("checkout")
    for path in files():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, made / path)
    jars = ROOT / ".local" / "jars"
    find_or_fetch(jars, print)
    shutil.copytree(jars, made / ".local" / "jars", symlinks=True)
    as_root = ("run", "--rm", "--user=root", f"--volume={made}:/once", image)
    engine.docker.run(*as_root, "chown", "--recursive", "dev:dev", "/once")
    return made


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lock asks for, for the Python of the base, and what builds sources."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={folder}"]
    command += ["--no-deps", "--implementation=cp"]
    command += [f"--python-version={own_images.PYTHON}"]
    lock = ROOT / "requirements-local.lock"
    hashed = ["--require-hashes", f"--requirement={lock}"]
    every = (ROOT / "requirements.lock").read_text()
    builders = re.findall(r"(?m)^((?:setuptools|wheel)==\S+) ", every)
    for asked in (hashed, builders):
        subprocess.run([*command, *asked], check=True)
    folder.chmod(0o755)
    return folder


def test_the_container_is_nobody_that_postgres_refuses(
    engine: Engine, image: str
) -> None:
    said = engine.docker.run("run", "--rm", image, "id", "--user")
    assert int(said) == USER
    assert engine.docker.run("run", "--rm", image, "sudo", "id", "-u").strip() == "0"


def test_the_demo_runs_in_the_container(
    engine: Engine, image: str, checkout: Path, wheels: Path
) -> None:
    """Its exit status is the audit's word."""
    pip = ("--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels")
    marked = f"--label={'='.join(*LABEL.items())}"
    command = ["docker", "run", "--rm", "--init", "--shm-size=256m", marked, *pip]
    command += ["--volume", f"{checkout}:/once", "--volume", f"{wheels}:/wheels:ro"]
    done = subprocess.run(
        [*command, image, "make", "demo", "DURATION=10"],
        env={**os.environ, **engine.docker.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEMO_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    report = json.loads((checkout / "build" / "reports" / "demo.json").read_text())
    assert report["invariants_ok"]
    assert report["applied"] == report["sent"] > 0
