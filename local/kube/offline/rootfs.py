"""Debian root file systems, made by debootstrap and kept in the cache as layers."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from local.kube import programs
from local.kube.offline import archive
from local.processes import commands
from local.processes.errors import MissingPart

SUITE = "bookworm"
# What a container does not need, and what would differ from one day to the next.
UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache",
    "var/log",
    "var/lib/apt/lists",
)


def layer(
    name: str,
    packages: tuple[str, ...],
    notify: programs.Notify,
    more: tuple[str, ...] = (),
    prepare: Callable[[Path], None] | None = None,
) -> Path:
    """The tar of a minimal Debian with these packages. Raises StackError.

    Those in `more` come after `prepare` was called with the tree of the others, and
    start no service.
    """
    named = " ".join((SUITE, *packages, *more))
    said = hashlib.sha256(named.encode()).hexdigest()[:12]

    def make(tree: Path) -> None:
        notify(f"debootstrap {name}")
        try:
            _debootstrap(tree, packages)
            if prepare is not None:
                prepare(tree)
            if more:
                _install(tree, more)
        finally:
            _unmount(tree)
        _trim(tree)

    return archive.layer(f"{name}-{said}", make)


def _debootstrap(tree: Path, packages: tuple[str, ...]) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise MissingPart(
            "base images are made by debootstrap: run as root, with that package"
        )
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    commands.run(["nice", "-n", "10", *command, SUITE, str(tree)], "debootstrap")


def _install(tree: Path, packages: tuple[str, ...]) -> None:
    """By the apt of the tree; what would start a service is told not to."""
    refuse = tree / "usr/sbin/policy-rc.d"
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)
    apt = ["chroot", str(tree), "apt-get", "--yes", "--quiet"]
    kept = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    for command in (["update"], ["install", "--no-install-recommends", *packages]):
        commands.run(["nice", "-n", "10", *apt, *command], "apt-get", environment=kept)
    refuse.unlink()


def _unmount(tree: Path) -> None:
    """A debootstrap that failed may leave the kernel's file systems mounted there."""
    for kernel in ("proc", "sys"):
        if os.path.ismount(tree / kernel):
            commands.run(["umount", str(tree / kernel)], "umount")


def _trim(tree: Path) -> None:
    for unneeded in UNNEEDED:
        shutil.rmtree(tree / unneeded, ignore_errors=True)
        (tree / unneeded).mkdir(parents=True)
    for device in (tree / "dev").iterdir():
        if not device.is_dir() or device.is_symlink():
            device.unlink()
