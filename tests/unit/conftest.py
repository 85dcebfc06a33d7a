"""Fixtures of the unit tests: nothing here needs a service."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from producers.store.api import auth
from producers.store.api.auth import Gate
from producers.store.backlog import Backlog
from producers.store.index import Index
from tests.unit import issuing
from tests.unit.handles import Handles
from tests.unit.indexes import VERDICTS, Clock, Open
from tests.unit.scripted_store import journal, memory
from tests.unit.serving import Served, serving


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
def handles() -> Handles:
    """The connections of what this test opens."""
    return Handles()


@pytest.fixture
def open_index(tmp_path: Path, handles: Handles) -> Iterator[Open]:
    """Opens the index of this test, as often as asked; closes what is left open."""
    opened: list[Index] = []

    def open_() -> Index:
        opened.append(Index(tmp_path / "store" / "index", VERDICTS, connect=handles))
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


# -- a Store that serves HTTP ----------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Store with the settings of a demo, for all tests of a file."""
    with serving(tmp_path_factory.mktemp("store")) as served:
        yield served


@pytest.fixture
def http(store: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with store.http() as client:
        yield client


# -- who issues tokens -----------------------------------------------------------------


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    """An issuer's file of keys, with one."""
    path = tmp_path / "jwks.json"
    issuing.write(path, issuing.jwk("EdDSA"))
    return path


@pytest.fixture
def gate(jwks: Path) -> Gate:
    """A gate that has read them."""
    return issuing.opened(jwks)


@pytest.fixture
def auth_clock(monkeypatch: pytest.MonkeyPatch) -> issuing.Clock:
    """The time of the gate and of its keys."""
    clock = issuing.Clock()
    monkeypatch.setattr(auth, "time", clock)
    return clock
