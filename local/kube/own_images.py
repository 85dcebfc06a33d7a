"""Our own images: the context that they are built from, and the build."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from local.kube.environment import Environment
from local.kube.programs import Notify
from local.processes import commands
from local.processes.errors import StackError

CONTEXT = Path("build/image")
DOCKERFILES = {
    "once/store": Path("producers/store/Dockerfile"),
    "once/bank": Path("consumers/bank/Dockerfile"),
}
LOCKS = (Path("requirements-runtime.lock"), Path("requirements.lock"))
PYTHON = "3.11"
MACHINES = ("x86_64", "aarch64")  # an engine may be another one than this machine
GLIBC_MINORS = range(36, 16, -1)  # of the base image, Debian 12, and what it runs too
# What the wheel is made of: the tag of an image is the digest of this.
SOURCES = (
    "once",
    "producers",
    "consumers",
    "avro",
    "postgres/asserted",
    "postgres/checks",
    "postgres/migrations",
)


def tag() -> str:
    """The name of what would be built from this working tree: 12 hex digits."""
    said = hashlib.sha256()
    files = [Path("pyproject.toml"), LOCKS[0], *DOCKERFILES.values()]
    for folder in SOURCES:
        for pattern in ("*.py", "*.sql", "*.avsc", "*.html", "*.css", "*.js", "*.svg"):
            files += Path(folder).rglob(pattern)
    for file in sorted(files):
        said.update(str(file).encode() + b"\0" + file.read_bytes())
    return said.hexdigest()[:12]


def make_context(notify: Notify) -> None:
    """The wheels of the lock, pip's and ours, for every engine. Raises StackError.

    Which of them are its own, pip finds out inside the build.
    """
    wheels = CONTEXT / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    stamp, lock = CONTEXT / "lock.sha256", LOCKS[0].read_bytes()
    digest = hashlib.sha256(lock + " ".join(MACHINES).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        notify("downloading the wheels of the lock")
        shutil.rmtree(wheels)
        wheels.mkdir()
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pip:
            pip.write(requirement("pip", LOCKS[1]))
            pip.flush()
            for machine in MACHINES:
                _download(machine, str(LOCKS[0]), pip.name)
        stamp.write_text(digest)
    for old in wheels.glob("once-*.whl"):
        old.unlink()
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), ".")


def build(environment: Environment, notify: Notify) -> list[str]:
    """Both images of this working tree, built where missing; their names."""
    docker = environment.docker
    names = [f"{name}:{tag()}" for name in DOCKERFILES]
    missing = [name for name in names if not docker.has_image(name)]
    if missing:
        make_context(notify)
        for name in missing:
            notify(f"building {name}")
            text = DOCKERFILES[name.partition(":")[0]].read_text()
            text = environment.dockerfile(text, notify)
            docker.build(name, text, CONTEXT)
    return names


def requirement(name: str, lock: Path) -> str:
    """One requirement of a lock, with its hashes."""
    found = re.search(rf"(?m)^{name}==.*\\\n(?:    --hash=.*\n)+", lock.read_text())
    if found is None:
        raise StackError(f"{name} is not in {lock}: run 'make lock'")
    return found.group()


def _download(machine: str, *locks: str) -> None:
    """What the images take, whichever Python and system this is."""
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    options += ["--dest", str(CONTEXT / "wheels")]
    options += ["--python-version", PYTHON, "--implementation", "cp"]
    for minor in GLIBC_MINORS:
        options += ["--platform", f"manylinux_2_{minor}_{machine}"]
    options += ["--platform", f"manylinux2014_{machine}"]
    for lock in locks:
        _pip("download", *options, "-r", lock)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet"]
    commands.run([*command, "--disable-pip-version-check"], f"pip {arguments[0]}")
