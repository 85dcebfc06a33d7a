"""What this machine lacks for the platform or has in its way, before anything starts.

    python -m local.machine [--json] [--only-lacking]

One line for each thing, and a cure where it is not well. Only the standard library: it
runs before there is an environment. Exit status 1 when something is lacking; what only
makes it slower or surprising is a note.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from local.surroundings import REPOSITORY, UNLIMITED, Surroundings

GB = 1 << 30
MEMORY_MIN, MEMORY_ENOUGH = 3 * GB // 2, 5 * GB // 2  # see docs/local-stack.md
DISK_MIN, DISK_ENOUGH = 3 * GB, 5 * GB
CORES_ENOUGH = 2
OPEN_FILES_MIN = 1024
STORE_PORT = 8080
PORTS = range(20_000, 32_000)
PROCESSORS = ("x86_64", "aarch64")
PYTHONS_TRIED = ((3, 11), (3, 14))
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Level(StrEnum):
    """How it stands."""

    OK = "ok"
    NOTE = "note"
    LACKS = "lacks"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    found: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f"; {self.cure}" if self.cure else ""
        return f"{self.level:<5}  {self.check:<10}  {self.found}{cure}"


def examine(here: Surroundings) -> Iterator[Finding]:
    """Everything but the tools, which take a moment."""
    for check in (
        _system,
        _memory,
        _disk,
        _checkout,
        _owner,
        _limits,
        _ports,
        _proxies,
    ):
        yield from check(here)


def _system(here: Surroundings) -> Iterator[Finding]:
    found = f"{here.system} on {here.processor}, {here.cores} cores"
    if here.system != "Linux" or here.processor not in PROCESSORS:
        cure = "take Debian 12 or Ubuntu 24.04 on x86-64 or arm64, or a container of it"
        yield Finding("system", Level.LACKS, found, cure)
    elif here.cores < CORES_ENOUGH:
        cure = (
            f"with fewer than {CORES_ENOUGH} all takes longer, and tests may time out"
        )
        yield Finding("system", Level.NOTE, found, cure)
    else:
        yield Finding("system", Level.OK, found)
    version = ".".join(map(str, sys.version_info[:3]))
    tried = PYTHONS_TRIED[0] <= sys.version_info[:2] <= PYTHONS_TRIED[1]
    cure = "" if tried else "newer than what was tried: PYTHON=python3.13 takes another"
    yield Finding("Python", Level.OK if tried else Level.NOTE, version, cure)


def _memory(here: Surroundings) -> Iterator[Finding]:
    meminfo = dict(
        line.split(":", 1) for line in here.read("proc/meminfo").splitlines()
    )
    available = int(meminfo.get("MemAvailable", "0 kB").split()[0]) * 1024
    limit = here.read("sys/fs/cgroup/memory.max").strip()
    used = here.read("sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        available = min(available, int(limit) - int(used))
    cure = "end what uses it, or take BROKERS=1 POSTGRES=1"
    yield enough("memory", available, (MEMORY_MIN, MEMORY_ENOUGH), cure)


def _disk(here: Surroundings) -> Iterator[Finding]:
    free = shutil.disk_usage(here.checkout).free
    yield enough("disk", free, (DISK_MIN, DISK_ENOUGH), f"at {here.checkout}")


def enough(
    check: str, found: int, bounds: tuple[int, int], cure: str, which: str = "free"
) -> Finding:
    """Whether so many bytes will do: below the first bound nothing works, and from the
    second one on all is well."""
    least, wished = bounds
    said = f"{found / GB:.1f} GB {which}"
    if found >= wished:
        return Finding(check, Level.OK, said)
    wanted = f"{wished / GB:g} GB are needed: {cure}"
    return Finding(check, Level.LACKS if found < least else Level.NOTE, said, wanted)


def _checkout(here: Surroundings) -> Iterator[Finding]:
    path = here.checkout
    if ":" in str(path):
        cure = "move it: in a list of paths for Java a colon ends a path"
        yield Finding("checkout", Level.LACKS, f"{path} has a colon", cure)
    elif not os.access(path, os.W_OK):
        cure = "clone it to where you may: its state lies beside the code"
        yield Finding("checkout", Level.LACKS, f"{path} cannot be written to", cure)
    elif os.statvfs(path).f_flag & os.ST_NOEXEC:
        cure = "move it: programs of its environment and Java are run from there"
        yield Finding("checkout", Level.LACKS, f"{path} is mounted noexec", cure)
    else:
        yield Finding("checkout", Level.OK, str(path))


def _owner(here: Surroundings) -> Iterator[Finding]:
    """What another user's run has left, most often root's."""
    if here.uid == 0:
        found = "root: apt is run for what is missing; Postgres runs as another"
        yield Finding("user", Level.OK, found)
        return
    for name in (".venv", ".local", "build", ".cache"):
        path = here.checkout / name
        if path.exists() and path.stat().st_uid != here.uid:
            found = f"{name} belongs to another user"
            cure = f"sudo chown -R $(id -u) '{path}'"
            yield Finding("user", Level.LACKS, found, cure)
    may = "you are asked before sudo installs anything" if here.has_sudo else "no sudo"
    yield Finding("user", Level.OK, f"uid {here.uid}; {may}")


def _limits(here: Surroundings) -> Iterator[Finding]:
    if here.open_files != UNLIMITED and here.open_files < OPEN_FILES_MIN:
        found = f"at most {here.open_files} open files"
        cure = f"ulimit -Hn {OPEN_FILES_MIN}, or in /etc/security/limits.conf"
        yield Finding("limits", Level.LACKS, found, cure)
    else:
        yield Finding("limits", Level.OK, f"{here.open_files} open files")
    for option, limit, what in (
        ("v", here.address_space, "memory of a process"),
        ("f", here.file_size, "size of a file"),
    ):
        if limit != UNLIMITED:
            found = f"{what} is limited to {limit / GB:.1f} GB"
            cure = f"ulimit -{option} unlimited: Java reserves more than it uses"
            yield Finding("limits", Level.LACKS, found, cure)


def _ports(here: Surroundings) -> Iterator[Finding]:
    if here.is_taken(0):
        cure = "the loopback device is down: ip link set lo up"
        yield Finding("ports", Level.LACKS, "127.0.0.1 cannot be listened on", cure)
        return
    if here.is_taken(STORE_PORT):
        found = f"{STORE_PORT} of `make serve` is taken"
        yield Finding("ports", Level.NOTE, found, "STORE_PORT=8081 make serve")
    else:
        yield Finding("ports", Level.OK, f"{STORE_PORT} is free; others are chosen")
    ephemeral = here.read("proc/sys/net/ipv4/ip_local_port_range").split()
    if len(ephemeral) == 2 and int(ephemeral[0]) < PORTS.stop:
        found = f"outgoing connections take ports from {ephemeral[0]} on"
        cure = (
            "they may take that of a server while it is down: "
            'sysctl -w net.ipv4.ip_local_port_range="32768 60999"'
        )
        yield Finding("ports", Level.NOTE, found, cure)


def _proxies(here: Surroundings) -> Iterator[Finding]:
    """Ours leave loopback alone (once/loopback.py); curl and Maven are not ours."""
    given = {name.upper(): value for name, value in here.environment.items()}
    named = [name for name in PROXIES if given.get(name)]
    if not named:
        return
    found = f"{', '.join(named)} set"
    if any("socks" in given[name].lower() for name in named):
        cure = "pip and the Store's client cannot speak SOCKS: unset it, or HTTP_PROXY"
        yield Finding("proxies", Level.LACKS, found, cure)
    if "127.0.0.1" not in given.get("NO_PROXY", "") and given.get("NO_PROXY") != "*":
        cure = "for curl to reach the Store: export NO_PROXY=127.0.0.1,localhost"
        yield Finding("proxies", Level.NOTE, found, cure)
    if not (Path(here.environment.get("HOME", "/")) / ".m2/settings.xml").exists():
        cure = "Maven does not look there: name it in ~/.m2/settings.xml"
        yield Finding("proxies", Level.NOTE, found, cure)


def tools() -> Iterator[Finding]:
    """The programs that local/prerequisites would install."""
    for group, what in (("stack", "of the stack"), ("browser", "for `make test`")):
        script = REPOSITORY / "local" / "prerequisites"
        done = subprocess.run(
            [script, "--check", group], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            yield Finding("tools", Level.OK, f"those {what} are here")
        else:
            said = done.stderr.strip().removeprefix("prerequisites: ")
            level = Level.LACKS if group == "stack" else Level.NOTE
            yield Finding("tools", level, f"{what}: {said}")


def shown(findings: Iterable[Finding], arguments: list[str]) -> Iterator[str]:
    """The lines to print."""
    if "--json" in arguments:
        yield json.dumps([asdict(each) for each in findings], indent=2)
        return
    for each in findings:
        if each.level is Level.LACKS or "--only-lacking" not in arguments:
            yield str(each)


def main(arguments: list[str]) -> int:
    """Look, say it, and 1 when something is lacking."""
    findings = list(examine(Surroundings()))
    if "--only-lacking" not in arguments:
        findings += tools()
    out = sys.stderr if "--only-lacking" in arguments else sys.stdout
    for line in shown(findings, arguments):
        out.write(line + "\n")
    return int(any(each.level is Level.LACKS for each in findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
