"""A jar that is not the one that is listed is not used, wherever it came from."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
import yaml

from local.processes.layout import java_path
from local.stack import jars as trusted
from local.stack import parts
from local.stack.jars import Changed
from tests.house.tree import ROOT, files

# Takes part in the play: "fetches" what lies in $FETCHED for the goal that it is told.
MVN = r"""#!/bin/sh
for word in "$@"; do
    case $word in -DoutputDirectory=*) out=${word#*=} ;; *:copy) part=registry ;; esac
done
mkdir -p "$out"
cp "$FETCHED/${part:-kafka}"/* "$out"
"""
ARCHIVE = f"apicurio-registry-app-{parts.pom_property('apicurio.version')}-all.tar.gz"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Maven gives: `kafka` and `registry` in this folder."""
    folder = tmp_path / "fetched"
    (folder / "kafka").mkdir(parents=True)
    (folder / "kafka" / "a.jar").write_bytes(b"good")
    (folder / "registry").mkdir()
    (folder / "registry" / ARCHIVE).write_bytes(b"no archive")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mvn").write_text(MVN)
    (programs / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FETCHED", str(folder))
    return folder


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of jars that has Java; a.jar and b.jar are listed."""
    java = java_path(tmp_path / "jars")
    java.parent.mkdir(parents=True)
    java.touch()
    listed = {"kafka/a.jar": digest(b"good"), ARCHIVE: digest(b"an archive")}
    monkeypatch.setattr(trusted, "listed", lambda: listed)
    return tmp_path / "jars"


def put(jars: Path, name: str, content: bytes = b"good") -> None:
    (jars / name).parent.mkdir(exist_ok=True)
    (jars / name).write_bytes(content)


def find(jars: Path) -> list[str]:
    """What was done on the way to the registry, which is not what is listed."""
    done: list[str] = []
    with pytest.raises(Changed, match=re.escape(ARCHIVE)):
        parts.find_or_fetch(jars, done.append)
    assert not (jars / "registry").exists()
    return done


def test_a_jar_that_was_changed_is_refused(jars: Path, fetched: Path) -> None:
    put(jars, "kafka/a.jar", b"evil")
    said = "kafka/a.jar is not the file that is listed in local/jars.sha256.*lock-jars"
    with pytest.raises(Changed, match=said):
        parts.find_or_fetch(jars, lambda _: None)


def test_a_jar_that_was_sent_changed_is_refused_and_not_kept(
    jars: Path, fetched: Path
) -> None:
    put(fetched, "kafka/a.jar", b"evil")
    with pytest.raises(Changed, match="kafka/a.jar is not the file"):
        parts.find_or_fetch(jars, lambda _: None)
    assert [each.name for each in jars.iterdir()] == ["java"]


def test_one_jar_more_than_is_listed_is_refused(jars: Path, fetched: Path) -> None:
    put(fetched, "kafka/z.jar")
    with pytest.raises(Changed, match="kafka/z.jar is not listed"):
        parts.find_or_fetch(jars, lambda _: None)


def test_one_jar_less_than_is_listed_is_refused(jars: Path, fetched: Path) -> None:
    (fetched / "kafka" / "a.jar").rename(fetched / "kafka" / "b.jar")
    with pytest.raises(Changed, match="kafka/a.jar is gone, and listed"):
        parts.find_or_fetch(jars, lambda _: None)


def test_an_archive_that_was_changed_is_not_unpacked(jars: Path, fetched: Path) -> None:
    assert find(jars) == ["fetching Kafka", "fetching the schema registry"]
    assert sorted(each.name for each in jars.iterdir()) == ["java", "kafka"]


def test_jars_that_are_as_listed_are_not_fetched_again(
    jars: Path, fetched: Path
) -> None:
    put(jars, "kafka/a.jar")
    assert find(jars) == ["fetching the schema registry"]


def test_jars_of_another_version_give_way_with_their_class_data(
    jars: Path, fetched: Path
) -> None:
    put(jars, "kafka/a-1.0.jar")
    put(jars, "kafka.jsa")
    assert "fetching Kafka" in find(jars)
    assert [each.name for each in (jars / "kafka").iterdir()] == ["a.jar"]
    assert not (jars / "kafka.jsa").exists()


def test_a_stack_that_runs_starts_nothing_again_from_jars_that_changed(
    jars: Path,
) -> None:
    put(jars, "kafka/a.jar")
    parts.require_jars(jars)
    put(jars, "kafka/planted.jar")
    with pytest.raises(Changed, match="kafka/planted.jar is not listed"):
        parts.require_jars(jars)


def test_a_list_is_what_sha256sum_reads(tmp_path: Path) -> None:
    trusted.write_list(
        {"b/c d.jar": digest(b"2"), "a.jar": digest(b"1")}, tmp_path / "l"
    )
    text = (tmp_path / "l").read_text()
    assert text == f"{digest(b'1')}  a.jar\n{digest(b'2')}  b/c d.jar\n"
    assert trusted.listed(tmp_path / "l") == {
        "a.jar": digest(b"1"),
        "b/c d.jar": digest(b"2"),
    }


def test_what_the_pom_asks_for_is_what_is_listed() -> None:
    listed = trusted.listed()
    kafka = parts.pom_property("kafka.version")
    for name in (f"kafka/kafka_2.13-{kafka}.jar", "registry/quarkus-run.jar", ARCHIVE):
        assert re.fullmatch("[0-9a-f]{64}", listed[name])


def test_every_environment_runs_the_registry_that_we_test_with() -> None:
    found = [
        image["newTag"]
        for path in files()
        if path.parts[:2] == ("avro", "k8s") and path.name == "kustomization.yaml"
        for image in yaml.safe_load((ROOT / path).read_text()).get("images", [])
        if "registry" in image["name"]
    ]
    assert found and {*found} == {parts.pom_property("apicurio.version")}
