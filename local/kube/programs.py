"""Builds the programs of versions.py, once, and keeps them outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from local.kube.versions import MODULES, PROGRAMS, Program
from local.processes import commands
from local.processes.errors import MissingPart

GO_MIN = (1, 26)

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
