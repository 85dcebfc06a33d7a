"""Follows what Argo CD makes of a commit, and tells when something changes."""

from __future__ import annotations

import time
from collections.abc import Callable

from local.kube import argo
from local.kube.api import Api
from local.processes.errors import StackError
from local.processes.waiting import wait_until

ROOT = "once"
DEGRADED_SECONDS = 60.0  # so long, and nobody comes and mends it by waiting


class _GivenUp(Exception):
    """An Application stays degraded."""


def follow(
    api: Api, revision: str, say: Callable[[str], None], timeout_seconds: float
) -> None:
    """Wait until every Application of that commit is Synced and Healthy.

    Raises StackError that names those which are not, and why: when the time is over, or
    when one of that commit stays degraded, as a Store does that was given up.
    """
    shown: dict[str, str] = {}
    degraded: dict[str, float] = {}  # since when

    def settled() -> bool:
        try:
            apps = argo.applications(api)
        except StackError:
            return False  # a busy API server may be late with one answer
        for app in apps:
            state = f"{app.sync}, {app.health}"
            if shown.get(app.name) != state:
                shown[app.name] = state
                say(f"{app.name:10} {state}")
            if app.health != "Degraded" or app.revision != revision:
                degraded.pop(app.name, None)
            elif time.monotonic() - degraded.setdefault(app.name, time.monotonic()) > (
                DEGRADED_SECONDS
            ):
                raise _GivenUp
        return bool(apps) and not _late(apps, revision)

    try:
        wait_until(
            settled,
            what="the Applications",
            timeout_seconds=timeout_seconds,
            interval_seconds=1.0,
        )
    except (StackError, _GivenUp):
        said = _late(argo.applications(api), revision)
        raise StackError(f"not all is Synced and Healthy: {'; '.join(said)}") from None


def _late(apps: list[argo.AppState], revision: str) -> list[str]:
    """What is still missing, in words. A chart has a version of its own, no commit."""
    ours = {app.repository for app in apps if app.name == ROOT}
    if not ours:
        return [f"there is no Application {ROOT}"]
    late = [
        f"{app.name} is {app.sync}, {app.health} ({app.message[:300]})"
        for app in apps
        if not app.done
    ]
    old = [
        f"{app.name} is still at {app.revision[:8] or 'no commit'}"
        for app in apps
        if app.done and app.repository in ours and app.revision != revision
    ]
    return late + old
