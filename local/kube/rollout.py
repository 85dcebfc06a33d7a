"""Follows what Argo CD makes of a commit, and tells when something changes."""

from __future__ import annotations

from collections.abc import Callable

from local.deadline import Patience
from local.errors import StackError
from local.kube import argo
from local.kube.api import Api

ROOT = "once"


def follow(
    api: Api, revision: str, say: Callable[[str], None], timeout_s: float
) -> None:
    """Wait until every Application of that commit is Synced and Healthy.

    Raises StackError that names those which are not, and why.
    """
    shown: dict[str, str] = {}

    def settled() -> bool:
        apps = argo.applications(api)
        for app in apps:
            state = f"{app.sync}, {app.health}"
            if shown.get(app.name) != state:
                shown[app.name] = state
                say(f"{app.name:10} {state}")
        return any(app.name == ROOT for app in apps) and all(
            app.done and app.revision == revision for app in apps
        )

    try:
        Patience().wait_until(
            settled, what="the Applications", timeout_s=timeout_s, interval_s=1.0
        )
    except StackError:
        late = [app for app in argo.applications(api) if not app.done]
        said = "; ".join(
            f"{app.name} is {app.sync}, {app.health} ({app.message[:300]})"
            for app in late
        )
        raise StackError(f"not all is Synced and Healthy: {said or revision}") from None
