"""Every overlay of the repository, rendered once and read."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local.kube import programs
from tests.house.tree import ROOT, files

Object = dict[str, Any]

LOCAL = ("kind", "kind-offline")
# Those on a cluster somewhere; one that somebody has added is judged, too.
DELIVERED = tuple(
    sorted(
        path.parent.name
        for path in files()
        if path.parts[:2] == ("argocd", "environments")
        if path.parent.name not in (*LOCAL, "rules")
    )
)
ENVIRONMENTS = (*LOCAL, *DELIVERED)
AT_ONCE = 2
RENDER_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, order=True)
class Overlay:
    """One part in one environment."""

    path: Path  # from the root of the repository

    def __str__(self) -> str:
        return str(self.path)

    @property
    def environment(self) -> str:
        """The environment that it is for."""
        return self.path.name


OVERLAYS = tuple(
    sorted(
        Overlay(path.parent)
        for path in files()
        if path.name == "kustomization.yaml" and path.parent.parent.name == "overlays"
    )
)


@dataclass(frozen=True)
class Rendering:
    """What kustomize said of an overlay."""

    text: str
    error: str


@cache
def renderings() -> dict[Overlay, Rendering]:
    """What kustomize makes of each overlay."""
    programs.ensure(["kubectl"], print)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(
            zip(
                OVERLAYS,
                pool.map(lambda each: render(ROOT / each.path), OVERLAYS),
                strict=True,
            )
        )


@cache
def rendered(overlay: Overlay) -> list[Object]:
    """The objects of an overlay; whoever changes one copies it first."""
    made = renderings()[overlay]
    assert made.error == "", made.error
    return list(yaml.load_all(made.text, Loader=yaml.CSafeLoader))


@cache
def environment(name: str) -> list[Object]:
    """The objects of all parts of an environment, each once."""
    found = {
        identity(obj): obj
        for overlay in OVERLAYS
        if overlay.environment == name
        for obj in rendered(overlay)
    }
    return list(found.values())


def identity(obj: Object) -> tuple[str, ...]:
    """What an API server tells objects apart by."""
    meta = obj["metadata"]
    return group(obj), obj["kind"], meta.get("namespace", ""), meta["name"]


def group(obj: Object) -> str:
    """The API group of an object; empty for the core."""
    before, slash, _ = str(obj["apiVersion"]).partition("/")
    return before if slash else ""


def named(obj: Object) -> str:
    """How a finding names an object."""
    return f"{obj['kind']}/{obj['metadata']['name']}"


def kinds(objects: list[Object], *wanted: str) -> list[Object]:
    """The objects of these kinds."""
    return [obj for obj in objects if obj["kind"] in wanted]


def listed(objects: list[Object]) -> str:
    """Objects as kubectl reads them; in JSON, where "y" is no truth value.

    Not as a List: that one kubectl would validate itself, and not as strictly.
    """
    return "\n---\n".join(map(json.dumps, objects))


def dig(obj: Any, *way: str) -> Any:
    """What lies at the end of a way through mappings; None where it ends early."""
    for step in way:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(step)
    return obj


def render(folder: Path) -> Rendering:
    """What kustomize makes of a folder."""
    done = subprocess.run(
        [str(programs.path("kubectl")), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=RENDER_TIMEOUT_SECONDS,
    )
    return Rendering(done.stdout, done.stderr.strip() if done.returncode else "")


def wave(app: Object) -> int:
    """When an Application is synced: a lower number is applied, and healthy, first."""
    said = dig(app, "metadata", "annotations", "argocd.argoproj.io/sync-wave")
    return int(said or 0)
