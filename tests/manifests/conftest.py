"""An API server for the session, with every kind of ours and the namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from local.kube import programs, releases
from local.kube.kinds import definitions
from local.kube.offline.control_plane import NEEDED, ControlPlane
from local.processes.waiting import wait_until
from tests.manifests.overlays import Object, environment, kinds, listed

ESTABLISHED_TIMEOUT_SECONDS = 60.0
NAMESPACES = ("argocd",)


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
    shipped = [each for name in releases.MODULES for each in releases.objects_of(name)]
    theirs = [each for each in shipped if each["kind"] == "CustomResourceDefinition"]
    _run(plane, "create", "--filename=-", stdin=listed([*theirs, *definitions()]))
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
