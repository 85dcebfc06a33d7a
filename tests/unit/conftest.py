"""Fixtures of the unit tests: nothing here needs a service."""

import socket
from pathlib import Path

import pytest

from producers.store.backlog import Backlog
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
