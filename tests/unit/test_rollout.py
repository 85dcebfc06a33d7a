"""Following a commit ends when all is well, and soon when something never will be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from local.kube import argo, rollout
from local.kube.api import Api
from local.kube.argo import AppState
from local.kube.rollout import follow
from local.processes.errors import StackError

NOBODY = cast(Api, None)  # asked through argo.applications only


def app(name: str, health: str, revision: str = "new") -> AppState:
    return AppState(name, "Synced", health, revision, "git://here", "said so")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[AppState]]:
    """What is answered, one after the other; the last one again and again."""
    answers: list[list[AppState]] = []

    def asked() -> Iterator[list[AppState]]:
        yield from answers
        while True:
            yield answers[-1]

    each = asked()
    monkeypatch.setattr(argo, "applications", lambda api: next(each))
    monkeypatch.setattr(rollout, "DEGRADED_SECONDS", 1.5)
    return answers


def test_it_ends_when_all_is_healthy(seen: list[list[AppState]]) -> None:
    seen += [
        [app("once", "Healthy"), app("store", "Degraded", "old")],
        [app("once", "Healthy"), app("store", "Healthy")],
    ]
    said: list[str] = []
    follow(NOBODY, "new", said.append, 30)
    assert said[-1].split() == ["store", "Synced,", "Healthy"]


def test_what_stays_degraded_is_not_waited_for_until_the_end(
    seen: list[list[AppState]],
) -> None:
    seen += [[app("once", "Healthy"), app("store", "Degraded")]]
    with pytest.raises(StackError, match="store is Synced, Degraded .said so."):
        follow(NOBODY, "new", lambda text: None, 600)


def test_one_that_recovers_is_waited_for(seen: list[list[AppState]]) -> None:
    bad, good = app("store", "Degraded"), app("store", "Progressing")
    seen += [[app("once", "Healthy"), each] for each in (bad, good, bad, good, bad)]
    seen += [[app("once", "Healthy"), app("store", "Healthy")]]
    follow(NOBODY, "new", lambda text: None, 30)
