"""One real cluster for the session: nodes, Argo CD, Rollouts, Store and Bank in pods.

A cluster that `make kind-up` left is used, and left again; else one is made, and
removed at the end.
Where no image registry can be reached it is the environment kind-offline: Kafka and
Postgres are real and run beside it, a stand-in answers for the operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.kube import argo, choice, demo
from local.kube.api import Api, Object
from local.kube.rollout import follow
from local.kube.site import Site
from local.kube.traffic import Traffic
from local.processes.waiting import wait_until

STORE, BANK = "producers/store/k8s/overlays/kind", "consumers/bank/k8s/overlays/kind"
LIVE_SECONDS_MAX = 30.0  # a push, by polling alone: nobody tells Argo CD to look


@dataclass(frozen=True)
class Deployed:
    """The cluster, and the git clone whose pushes it follows."""

    site: Site
    api: Api

    @property
    def clone(self) -> Path:
        """The working tree of the remote."""
        return self.site.remote.clone

    def edit(self, file: str, old: str, new: str) -> None:
        """Change one text in the clone, which must be there once."""
        path = self.clone / file
        content = path.read_text()
        assert content.count(old) == 1, f"{old!r} is not once in {file}"
        path.write_text(content.replace(old, new))

    def push(self, message: str) -> str:
        """Commit and push what was edited; the commit."""
        return self.site.remote.commit(message)

    def revert(self) -> None:
        """`git revert` of the last push, and wait until all is well again."""
        self.settle(self.site.remote.revert())

    def settle(self, revision: str, timeout_seconds: float = 300.0) -> None:
        """Until everything of this commit is Synced and Healthy."""
        follow(self.api, revision, lambda text: None, timeout_seconds)

    def app(self, name: str) -> argo.AppState:
        """One Application as it is now."""
        (found,) = (app for app in argo.applications(self.api) if app.name == name)
        return found

    def one(self, kind: str, name: str) -> Object:
        """One object of namespace once."""
        found: Object = self.site.cluster.get(kind, name, "--namespace", "once")
        return found


def until(
    what: str, condition: Callable[[], object], timeout_seconds: float = 60.0
) -> None:
    """Wait until it holds. Raises StackError."""

    def holds() -> bool:
        return bool(condition())

    wait_until(holds, what=what, timeout_seconds=timeout_seconds, interval_seconds=0.5)


@contextmanager
def proved(deployed: Deployed, folder: Path) -> Iterator[Traffic]:
    """Traffic while the block runs; after it, the audit."""
    with demo.proved(deployed.site, folder / "acknowledged.log") as proof:
        proof.sent.wait(200)
        yield proof.sent
        proof.sent.wait(200)
    broken = {
        name: line.findings
        for name, line in proof.report.invariants.items()
        if not line.holds
    }
    assert proof.report.invariants_ok, broken


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    """A cluster on which this working tree is deployed."""
    site = Site(choice.environment())
    there = site.is_up()
    try:
        if there:
            site.push("tests begin")
        else:
            site.down()  # whatever a killed session has left
            site.up()
        api = site.api()
        yield Deployed(site, api)
        api.close()
    finally:
        if not there:
            site.down()
