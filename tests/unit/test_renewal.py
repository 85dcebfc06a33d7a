"""A client is made anew when its key and certificate were replaced, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from once.renewal import LOOK_SECONDS, Renewal


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / name for name in ("ca", "certificate", "key")}
    for name, path in made.items():
        path.write_text(f"first {name}")
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def renewal(files: dict[str, Path], clock: Clock) -> Renewal:
    locations = {f"ssl.{name}.location": str(path) for name, path in files.items()}
    return Renewal({**locations, "bootstrap.servers": "k:9093"}, clock)


def looks(found: Renewal, clock: Clock, times: int) -> list[bool]:
    """What it says each time that it looks."""
    said = []
    for _ in range(times):
        clock.now += LOOK_SECONDS
        said.append(found.due())
    return said


def test_files_that_stay_are_no_reason(files: dict[str, Path], clock: Clock) -> None:
    assert looks(renewal(files, clock), clock, 3) == [False] * 3


@pytest.mark.parametrize("replaced", ["ca", "certificate", "key"])
def test_a_file_that_was_replaced_is_seen_at_the_second_look(
    files: dict[str, Path], clock: Clock, replaced: str
) -> None:
    found = renewal(files, clock)
    files[replaced].write_text("second")
    assert looks(found, clock, 3) == [False, True, True]
    found.taken()
    assert looks(found, clock, 2) == [False, False]


def test_a_pair_that_is_half_replaced_is_left_alone(
    files: dict[str, Path], clock: Clock
) -> None:
    found = renewal(files, clock)
    files["certificate"].write_text("second")
    assert looks(found, clock, 1) == [False]
    files["key"].write_text("second")
    assert looks(found, clock, 2) == [False, True]


def test_a_file_that_is_away_for_a_moment_is_no_reason(
    files: dict[str, Path], clock: Clock
) -> None:
    found = renewal(files, clock)
    files["key"].unlink()
    files["key"].mkdir()
    files["key"].rmdir()
    said = looks(found, clock, 1)
    files["key"].write_text("first key")
    assert said + looks(found, clock, 2) == [False] * 3


def test_it_does_not_look_all_the_time(files: dict[str, Path], clock: Clock) -> None:
    found = renewal(files, clock)
    files["key"].write_text("second")
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
