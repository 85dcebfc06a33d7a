"""An API server for the session, with every kind of ours and the namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.kube import programs
from local.kube.kinds import definitions
from local.kube.offline.control_plane import NEEDED, ControlPlane
from local.kube.versions import ARGO_CD, ARGO_ROLLOUTS
from local.processes.waiting import wait_until
from tests.manifests.overlays import Object, environment, kinds, listed

ESTABLISHED_TIMEOUT_SECONDS = 60.0
NAMESPACES = ("argocd",)
# The kinds of ours among those of Argo CD and Argo Rollouts, in their sources.
FOLDER = Path("manifests", "crds")
OF_CD = ("application", "appproject")
OF_ROLLOUTS = ("rollout", "analysis-template")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The real API server; nothing is in it but kinds, namespaces and priorities."""
    programs.ensure(NEEDED, print)
    with ControlPlane(tmp_path_factory.mktemp("plane")) as started:
        _define_kinds(started)
        spaces = [_namespace(name) for name in NAMESPACES]
        real = kinds(environment("production"), "Namespace", "PriorityClass")
        _apply(started, [*spaces, *real])
        yield started


def _define_kinds(plane: ControlPlane) -> None:
    cd = programs.source("github.com/argoproj/argo-cd/v3", ARGO_CD) / FOLDER
    rollouts = programs.source("github.com/argoproj/argo-rollouts", ARGO_ROLLOUTS)
    paths = [cd / f"{name}-crd.yaml" for name in OF_CD]
    paths += [rollouts / FOLDER / f"{name}-crd.yaml" for name in OF_ROLLOUTS]
    _run(plane, "create", *(f"--filename={path}" for path in paths))
    _run(plane, "create", "--filename=-", stdin=listed(definitions()))
    wait_until(
        lambda: _established(plane),
        what="the custom kinds",
        timeout_seconds=ESTABLISHED_TIMEOUT_SECONDS,
    )


def _established(plane: ControlPlane) -> bool:
    """Whether every kind is served; one that was just made has no conditions yet."""
    made = json.loads(_run(plane, "get", "crd", "-o", "json"))["items"]
    return all(
        any(said["type"] == "Established" and said["status"] == "True" for said in told)
        for told in (each["status"]["conditions"] or [] for each in made)
    )


def _apply(plane: ControlPlane, objects: list[Object]) -> None:
    _run(plane, "apply", "--server-side", "-f", "-", stdin=listed(objects))


def _run(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    done = plane.kubectl(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr[:2000]
    return done.stdout


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
