"""What is written is its owner's alone, also where something wider was before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.platform.credentials import Certificates, Issuer, write_secret
from local.processes.errors import StackError
from local.processes.files import make_folder, narrow, replace_file
from local.processes.layout import Layout, write_json


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """A umask that takes nothing from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_secret_is_private_also_where_a_wider_file_was(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("old")
    file.chmod(0o666)
    write_secret(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", 0o600)
    write_json(file, {})
    assert mode(file) == 0o600


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    write_secret(link, b"secret")
    assert target.read_text() == "mine"
    assert not link.is_symlink() and link.read_bytes() == b"secret"


def test_a_reader_has_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    replace_file(file, b"old")
    with file.open("rb") as reader:
        replace_file(file, b"new")
        assert reader.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["jwks.json"]


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "certs").symlink_to(tmp_path / "real")
    writes: list[Callable[[], None]] = [
        lambda: make_folder(tmp_path / "certs"),
        lambda: replace_file(tmp_path / "certs" / "key", b""),
    ]
    for write in writes:
        with pytest.raises(StackError, match="certs is a link or no folder: remove it"):
            write()


def test_keys_are_private_and_older_ones_become_it(tmp_path: Path) -> None:
    made, folder = Certificates(tmp_path / "certs"), tmp_path / "auth"
    for _ in range(2):
        made.make()
        Issuer(folder)
        assert mode(made.key) == mode(folder / "issuer-key.pem") == 0o600
        assert mode(tmp_path / "certs") == mode(folder) == 0o700
        key = made.key.read_bytes()
        for wide in (made.key, folder / "issuer-key.pem", folder, tmp_path / "certs"):
            wide.chmod(0o777 if wide.is_dir() else 0o666)
    made.make()
    assert made.key.read_bytes() == key and mode(made.key) == 0o600


def test_what_older_programs_left_open_is_closed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    kafka = layout.data("kafka-1") / "log" / "transfers-0" / "00.log"
    journal = layout.data("store-api") / "journal.db"
    outside = tmp_path / "outside"
    outside.touch()
    for file in (kafka, journal, layout.log("kafka-1"), layout.passwords_file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (kafka.parent / "link").symlink_to(outside)
    layout.create()
    open_ = [
        path
        for path in layout.root.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert open_ == []
    assert mode(outside) == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_is_somebody_elses_stays_as_it_is(tmp_path: Path) -> None:
    theirs = tmp_path / "data" / "theirs"
    (theirs / "below").mkdir(parents=True)
    os.chown(theirs, 65534, 65534)
    narrow(tmp_path, ["data", "missing"])
    assert (mode(tmp_path / "data"), mode(theirs)) == (0o700, 0o777)
    assert mode(theirs / "below") == 0o777
