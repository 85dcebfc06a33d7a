"""The programs of versions.py: built once and kept outside the checkout.

Of those that a machine may have as well (kind, kubectl), its own will do.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from local.kube.versions import MODULES, PROGRAMS, Program
from local.processes import commands
from local.processes.errors import MissingPart

GO_MIN = (1, 26)
# What a machine may have instead of those that are built here, from which release on.
OLDEST = {"kind": (0, 30), "kubectl": (1, 34)}
SAYS_VERSION = {
    "kind": ("version", "-q"),
    "kubectl": ("version", "--client", "--output=json"),
}

Notify = Callable[[str], None]


def cache() -> Path:
    """What is built once and kept: by version, shared by all checkouts."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "once"


def path(name: str) -> Path:
    """Where this program is, or will be."""
    return cache() / "bin" / f"{name}-{PROGRAMS[name].version}"


def ensure(names: Iterable[str], notify: Notify) -> None:
    """Build those that are missing. Raises MissingPart, StackError."""
    for name in names:
        if not path(name).exists():
            notify(f"building {name} {PROGRAMS[name].version}")
            _build(PROGRAMS[name])


def command(name: str) -> Path:
    """What to run: the one that was built here, else a fitting one of the machine's."""
    built = path(name)
    return built if built.exists() else _of_the_machine(name) or built


def ensure_commands(names: Iterable[str], notify: Notify) -> None:
    """Build those that the machine does not have. Raises MissingPart, StackError."""
    for name in names:
        if not command(name).exists():
            try:
                ensure([name], notify)
            except MissingPart as error:
                least = ".".join(map(str, OLDEST[name]))
                raise MissingPart(
                    f"{name} {least} or newer is needed: install it, or what builds it "
                    f"({error})"
                ) from None


@functools.cache
def _of_the_machine(name: str) -> Path | None:
    """The one on PATH, when it is new enough."""
    found = shutil.which(name)
    if found is None or name not in OLDEST:
        return None
    said = commands.attempt([found, *SAYS_VERSION[name]]).stdout
    version = re.search(r"(?m)(?:^|v)(\d+)\.(\d+)\.\d+", said)
    numbers = tuple(map(int, version.groups())) if version else ()
    return Path(found) if numbers >= OLDEST[name] else None


def source(module: str, version: str) -> Path:
    """The unpacked source of a Go module: manifests and scripts lie there.

    Raises StackError.
    """
    said = _go(["mod", "download", "-json", f"{module}@v{version}"], Path("/"))
    return Path(json.loads(said)["Dir"])


def _build(program: Program) -> None:
    target = path(program.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        if program.module:
            linked = f"-s -w {program.flags}"
            command = ["build", "-mod=readonly", "-trimpath", "-ldflags", linked]
            command += ["-o", f"{scratch}/{program.name}", program.package]
            _go(command, MODULES / program.module)
        else:
            versioned = f"{program.package}@v{program.version}"
            _go(["install", versioned], Path(scratch), {"GOBIN": scratch})
        built = Path(scratch) / program.name
        built.replace(target)  # in one step: a build cut short leaves nothing


def _go(
    arguments: list[str], directory: Path, environment: dict[str, str] | None = None
) -> str:
    """Run Go there; what it prints."""
    _require_go()
    return commands.run(
        ["nice", "-n", "10", "go", *arguments],
        f"go {arguments[0]}",
        directory=directory,
        environment={
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false",
            **(environment or {}),
        },
    )


def _require_go() -> None:
    wanted = ".".join(map(str, GO_MIN))
    if shutil.which("go") is None:
        raise MissingPart(f"Go {wanted} or newer is needed to build Kubernetes here")
    said = commands.run(["go", "env", "GOVERSION"], "go env").strip()
    version = tuple(int(part) for part in said.removeprefix("go").split(".")[:2])
    if version < GO_MIN:
        raise MissingPart(f"Go {wanted} or newer is needed to build, not {said}")
