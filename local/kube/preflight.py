"""What an engine lacks for the cluster, before anything is created in it.

One line for each thing, as `make doctor` has them. An engine may be another machine
than this one (Docker Desktop, Colima, WSL): what it says of itself counts, and what
only its own kernel knows is looked at where that is ours.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local.kube import programs
from local.kube.docker import Docker
from local.machine import GB, Finding, Level, enough

# docs/kubernetes.md says what it is used for.
MEMORY_MIN, MEMORY_ENOUGH = 6 * GB, 8 * GB
DISK_MIN, DISK_ENOUGH = 10 * GB, 25 * GB
CORES_ENOUGH = 4
PROCESSORS = ("x86_64", "aarch64", "amd64", "arm64")
# Four nodes in one kernel watch many files: kind's own "known issues" has these.
INOTIFY = {"max_user_instances": 512, "max_user_watches": 524_288}
PROC = Path("/proc/sys")


def examine(docker: Docker, needed: tuple[str, ...]) -> Iterator[Finding]:
    """Everything, about an engine that answers. Raises StackError."""
    info: Mapping[str, Any] = json.loads(docker.run("info", "--format", "{{json .}}"))
    yield _engine(info)
    yield _memory(info)
    yield from _disk(info)
    yield from _inotify(info)
    for name in needed:
        yield Finding(name, Level.OK, str(programs.command(name)))


def _engine(info: Mapping[str, Any]) -> Finding:
    cores, processor = int(info["NCPU"]), info["Architecture"]
    found = (
        f"Docker {info['ServerVersion']}, {info['OperatingSystem']}, {processor}, "
        f"{cores} cores"
    )
    if processor not in PROCESSORS:
        cure = "our images are for x86-64 and arm64"
        return Finding("engine", Level.LACKS, found, cure)
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        cure = "rootless: kind needs the cpu controller delegated to your user"
        return Finding("engine", Level.NOTE, found, cure)
    if cores < CORES_ENOUGH:
        cure = f"with fewer than {CORES_ENOUGH} it takes some minutes longer"
        return Finding("engine", Level.NOTE, found, cure)
    return Finding("engine", Level.OK, found)


def _memory(info: Mapping[str, Any]) -> Finding:
    has, bounds = int(info["MemTotal"]), (MEMORY_MIN, MEMORY_ENOUGH)
    return enough(
        "memory", has, bounds, "give the engine more (its settings)", "in all"
    )


def _disk(info: Mapping[str, Any]) -> Iterator[Finding]:
    folder = Path(info.get("DockerRootDir") or "/nowhere")
    if folder.exists():  # else the engine's machine is another one
        free, bounds = shutil.disk_usage(folder).free, (DISK_MIN, DISK_ENOUGH)
        cure = "docker system df shows what may go"
        yield enough("disk", free, bounds, cure, f"free at {folder}")


def _inotify(info: Mapping[str, Any]) -> Iterator[Finding]:
    if "Docker Desktop" in info["OperatingSystem"]:
        return  # its kernel has enough of them
    for name, least in INOTIFY.items():
        file = PROC / "fs/inotify" / name
        if not file.exists():
            continue
        has = int(file.read_text())
        found = f"fs.inotify.{name} is {has}"
        if has >= least:
            yield Finding("inotify", Level.OK, found)
        else:
            cure = f"pods may fail to start: sudo sysctl -w fs.inotify.{name}={least}"
            yield Finding("inotify", Level.NOTE, found, cure)
