"""A client is made anew when its key and certificate were replaced, and only then."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import trustme

from once.renewal import LOOK_SECONDS, Renewal


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Files:
    """The three files of a client, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.paths = {name: folder / name for name in ("ca", "certificate", "key")}
        self.authority = trustme.CA()
        self.renew()

    def renew(self, *names: str) -> None:
        """Another certificate with its key; of it write these files, or all."""
        made = self.authority.issue_cert("client.invalid")
        content = {
            "ca": self.authority.cert_pem.bytes(),
            "certificate": made.cert_chain_pems[0].bytes(),
            "key": made.private_key_pem.bytes(),
        }
        for name in names or content:
            self.paths[name].write_bytes(content[name])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def renewal(files: Files, clock: Clock) -> Renewal:
    locations = {f"ssl.{name}.location": str(at) for name, at in files.paths.items()}
    return Renewal({**locations, "bootstrap.servers": "k:9093"}, clock)


def looks(found: Renewal, clock: Clock, times: int) -> list[bool]:
    """What it says each time that it looks."""
    said = []
    for _ in range(times):
        clock.now += LOOK_SECONDS
        said.append(found.due())
    return said


def test_files_that_stay_are_no_reason(files: Files, clock: Clock) -> None:
    assert looks(renewal(files, clock), clock, 3) == [False] * 3


def test_a_pair_that_was_replaced_is_seen_at_the_second_look(
    files: Files, clock: Clock
) -> None:
    found = renewal(files, clock)
    files.renew()
    assert looks(found, clock, 3) == [False, True, True]
    found.taken()
    assert looks(found, clock, 2) == [False, False]


def test_a_pair_that_is_read_for_another_reason_is_told_as_well(
    files: Files, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ended just then takes the new ones along."""
    said = Mock()
    monkeypatch.setattr("once.renewal.log", said)
    found = renewal(files, clock)
    found.taken()
    said.info.assert_not_called()
    files.renew()
    for _ in range(3):
        found.taken()
    assert looks(found, clock, 2) == [False, False]
    said.info.assert_called_once()
    assert "was replaced, the next client reads it" in said.info.call_args.args[0]


def test_another_authority_is_a_reason_too(files: Files, clock: Clock) -> None:
    found = renewal(files, clock)
    files.authority = trustme.CA()
    files.renew("ca")
    assert looks(found, clock, 2) == [False, True]


@pytest.mark.parametrize("broken", ["half a pair", "no certificate", "no authority"])
def test_with_files_that_cannot_be_used_the_old_client_goes_on(
    files: Files, clock: Clock, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = renewal(files, clock)
    if broken == "half a pair":
        files.renew("certificate")
    else:
        name = "certificate" if broken == "no certificate" else "ca"
        files.paths[name].write_text("-----BEGIN NOTHING-----")
    assert looks(found, clock, 4) == [False] * 4
    said = capsys.readouterr()
    assert (said.out + said.err).count("cannot be used, going on with the old") == 1
    files.renew()
    assert looks(found, clock, 2) == [False, True]


def test_a_file_that_is_away_is_no_reason(files: Files, clock: Clock) -> None:
    found = renewal(files, clock)
    kept = files.paths["key"].read_bytes()
    files.paths["key"].unlink()
    said = looks(found, clock, 3)
    files.paths["key"].write_bytes(kept)
    assert said + looks(found, clock, 2) == [False] * 5


def test_it_does_not_look_all_the_time(files: Files, clock: Clock) -> None:
    found = renewal(files, clock)
    files.renew()
    clock.now += LOOK_SECONDS / 2
    assert not found.due()
    assert looks(found, clock, 2) == [False, True]


def test_a_client_without_files_needs_none(clock: Clock) -> None:
    found = Renewal({"ssl.ca.pem": "-----BEGIN", "sasl.password": "x"}, clock)
    assert looks(found, clock, 2) == [False, False]


def test_an_authority_that_is_a_folder_or_to_be_probed_is_let_be(
    tmp_path: Path, clock: Clock
) -> None:
    for said in (str(tmp_path), "probe"):
        found = Renewal({"ssl.ca.location": said}, clock)
        assert looks(found, clock, 2) == [False, False]
