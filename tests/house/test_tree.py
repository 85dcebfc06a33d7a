"""What must not be in a committed file: addresses of registries, paths of a machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, text

# Put together here so that this file does not contain what it looks for.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("central", "sonatype", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("crates", "io"),
    )
]
HOST = re.compile("|".join(rf"(?<![\w-]){re.escape(host)}\b" for host in HOSTS))

PLACES = [
    "/".join(("", "work", r"(main|shared|\.library)")),
    "/".join(("", "home", r"[a-z][\w-]*/")),
    "/".join(("", "Users", r"\w+/")),
    "/".join(("", "root", r"\S")),
]
PLACE = re.compile("|".join(rf"(?<![\w.}}])(?:{place})" for place in PLACES))

LOCK = ROOT / "requirements.lock"


def hits(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = (text(path) or "").splitlines()
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for number, line in enumerate(lines, 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    """Packages come from wherever the machine's own clients are set up to ask."""
    found = [hit for path in files() for hit in hits(HOST, path)]
    assert not found, "\n".join(found)


def test_no_file_names_a_place_on_one_machine() -> None:
    found = [hit for path in files() for hit in hits(PLACE, path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("host", HOSTS)
def test_a_registry_is_found_however_it_is_written(host: str) -> None:
    for line in (f"index-url = https://{host}/simple", f"go get {host}", host):
        assert HOST.search(line)
    assert not HOST.search(f"my-{host}-mirror.example".replace(".", "-"))


def test_a_place_is_found_and_a_url_path_is_not() -> None:
    home = "/".join(("", "home", "ada", "once"))
    assert PLACE.search(f'root = "{home}"') and PLACE.search(home)
    assert not PLACE.search(f"https://example.org{home}")
    assert not PLACE.search("GET /homepage")


def requirements() -> list[str]:
    """The lock's requirements, each with its hashes on one line."""
    joined = LOCK.read_text().replace("\\\n", " ")
    return [
        line
        for line in joined.splitlines()
        if line and not line.lstrip().startswith("#")
    ]


def test_the_lock_pins_and_hashes_every_requirement() -> None:
    locked = requirements()
    assert locked
    loose = [
        line
        for line in locked
        if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert not loose


def test_the_lock_has_no_address_and_no_option() -> None:
    content = LOCK.read_text()
    assert "://" not in content
    assert not re.search(r"^-", content, re.MULTILINE)


def test_the_lock_has_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    locked = {normal(line.partition("==")[0]) for line in requirements()}
    missing = [name for name in wanted if normal(name) not in locked]
    assert not missing, f"run 'make lock': {missing}"


def normal(requirement: str) -> str:
    """The canonical name of a requirement, without version and extras."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()
