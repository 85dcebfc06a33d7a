"""What a machine lacks is one line each, with a cure, before anything is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local import machine
from local.machine import GB, Finding, Level, examine
from local.surroundings import REPOSITORY, UNLIMITED, Surroundings


@pytest.fixture
def fine(tmp_path: Path) -> Surroundings:
    """A machine on which all is well."""
    memory = tmp_path / "proc" / "meminfo"
    memory.parent.mkdir()
    memory.write_text(f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n")
    ports = tmp_path / "proc/sys/net/ipv4/ip_local_port_range"
    ports.parent.mkdir(parents=True)
    ports.write_text("32768\t60999\n")
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    return Surroundings(
        root=tmp_path,
        checkout=checkout,
        environment={"HOME": str(tmp_path)},
        uid=os.geteuid(),
        system="Linux",
        processor="x86_64",
        cores=2,
        has_sudo=True,
        open_files=4096,
        address_space=UNLIMITED,
        file_size=UNLIMITED,
        is_taken=lambda port: False,
    )


def amiss(here: Surroundings) -> list[Finding]:
    return [each for each in examine(here) if each.level is not Level.OK]


def test_where_all_is_well_there_is_nothing_to_mend(
    fine: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "DISK_ENOUGH", 0)  # that of who runs this is small
    assert amiss(fine) == []
    named = {each.check for each in examine(fine)}
    assert named >= {"system", "memory", "disk", "ports", "limits", "user", "checkout"}


@pytest.mark.parametrize(
    ("change", "check", "level", "cure"),
    [
        ({"system": "Darwin"}, "system", Level.LACKS, "Debian 12"),
        ({"processor": "riscv64"}, "system", Level.LACKS, "arm64"),
        ({"cores": 1}, "system", Level.NOTE, "longer"),
        ({"open_files": 256}, "limits", Level.LACKS, "ulimit -Hn 1024"),
        ({"address_space": 4 * GB}, "limits", Level.LACKS, "ulimit -v unlimited"),
        ({"file_size": GB}, "limits", Level.LACKS, "ulimit -f unlimited"),
        ({"is_taken": lambda port: True}, "ports", Level.LACKS, "lo up"),
        ({"is_taken": lambda port: port == 8080}, "ports", Level.NOTE, "STORE_PORT"),
    ],
)
def test_what_is_amiss_is_named_with_its_cure(
    fine: Surroundings, change: dict[str, Any], check: str, level: Level, cure: str
) -> None:
    found = [each for each in amiss(replace(fine, **change)) if each.check == check]
    assert [each.level for each in found] == [level]
    assert cure in found[0].cure
    assert len(str(found[0]).splitlines()) == 1


@pytest.mark.parametrize(
    ("proxy", "level", "cure"),
    [
        ({"http_proxy": "http://p:3128"}, Level.NOTE, "NO_PROXY=127.0.0.1"),
        ({"https_proxy": "http://p:3128"}, Level.NOTE, "settings.xml"),
        ({"ALL_PROXY": "socks5h://p:1080"}, Level.LACKS, "SOCKS"),
    ],
)
def test_a_proxy_is_named_with_what_it_disturbs(
    fine: Surroundings, proxy: dict[str, str], level: Level, cure: str
) -> None:
    here = replace(fine, environment={**fine.environment, **proxy})
    found = [each for each in amiss(here) if each.check == "proxies"]
    assert any(each.level is level and cure in each.cure for each in found)


def test_little_memory_is_a_note_and_too_little_is_lacking(fine: Surroundings) -> None:
    for available_gb, level in ((2, Level.NOTE), (1, Level.LACKS)):
        file = fine.root / "proc" / "meminfo"
        file.write_text(f"MemAvailable: {available_gb << 20} kB\n")
        (found,) = (each for each in amiss(fine) if each.check == "memory")
        assert found.level is level and "BROKERS=1" in found.cure


def test_the_memory_of_a_container_counts(fine: Surroundings) -> None:
    cgroup = fine.root / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text(f"{GB}\n")
    (cgroup / "memory.current").write_text("1000\n")
    assert [each.level for each in amiss(fine) if each.check == "memory"] == ["lacks"]


def test_what_another_user_left_is_named_with_the_way_to_take_it(
    fine: Surroundings,
) -> None:
    (fine.checkout / ".venv").mkdir()
    other = replace(fine, uid=os.geteuid() + 1)
    (found,) = (each for each in amiss(other) if each.check == "user")
    assert found.level is Level.LACKS and "sudo chown -R" in found.cure


def test_a_folder_that_java_cannot_be_told_of_is_lacking(fine: Surroundings) -> None:
    odd = fine.checkout / "a:b"
    odd.mkdir()
    found = [each.check for each in amiss(replace(fine, checkout=odd))]
    assert "checkout" in found


def test_it_needs_nothing_that_is_installed_and_speaks_json() -> None:
    command = [sys.executable, "-I", "-S", "-c"]
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); "
    code += "import local.machine as m; sys.exit(m.main(['--json']))"
    done = subprocess.run(
        [*command, code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert {each["level"] for each in found} <= {"ok", "note", "lacks"}
