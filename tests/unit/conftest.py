"""Fixtures of the unit tests: nothing here needs a service."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.store.backlog import Backlog
from producers.store.index import Index
from tests.unit.indexes import VERDICTS, Clock, Open
from tests.unit.scripted_store import journal, memory


@pytest.fixture
def unused_port() -> int:
    """A TCP port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The committer looks often whether it is to end."""
    monkeypatch.setattr("producers.store.committer.WAIT_SECONDS", 0.01)


@pytest.fixture(params=["memory", "journal"])
def backlog(request: pytest.FixtureRequest, tmp_path: Path, impatient: None) -> Backlog:
    return memory() if request.param == "memory" else journal(tmp_path)


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[Open]:
    """Opens the index of this test, as often as asked; closes what is left open."""
    opened: list[Index] = []

    def open_() -> Index:
        opened.append(Index(tmp_path / "store" / "index", VERDICTS))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def index(open_index: Open) -> Index:
    return open_index()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("producers.store.index.time", clock)
    return clock
