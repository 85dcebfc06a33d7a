"""Which environment reports what it runs, as whom."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.manifests.overlays import environment
from tests.manifests.planting import find

REPORTING = ("dev", "test")  # the others have none behind them


def notifications(name: str) -> dict[str, Any]:
    """The settings of an environment's notifications, read."""
    data = find(environment(name), "ConfigMap/argocd-notifications-cm").get("data", {})
    return {key: yaml.safe_load(value) for key, value in data.items()}


def recipients(name: str) -> list[str]:
    told = notifications(name)["subscriptions"]
    return [recipient for each in told for recipient in each["recipients"]]


def tokens(name: str) -> dict[str, str]:
    """The secrets of an environment's notifications, and where each is kept."""
    found = find(environment(name), "ExternalSecret/argocd-notifications")
    return {
        each["secretKey"]: each["remoteRef"]["key"] for each in found["spec"]["data"]
    }


@pytest.mark.parametrize("name", REPORTING)
def test_an_environment_reports_under_its_own_name_with_its_own_token(
    name: str,
) -> None:
    assert "github" in recipients(name)
    assert notifications(name)["context"] == {"environment": name}
    assert tokens(name)["github-token"] == f"once/{name}/argocd"
    said, _ = notifications(name)["service.webhook.github"]["headers"]
    assert said == {"name": "Authorization", "value": "Bearer $github-token"}


def test_production_has_nobody_to_report_to_and_nothing_to_do_it_with() -> None:
    assert recipients("production") == ["slack:once-deployments"]
    assert "service.webhook.github" not in notifications("production")
    assert tokens("production") == {"slack-token": "once/production/argocd"}


@pytest.mark.parametrize("name", ["kind", "kind-offline"])
def test_a_laptop_reports_nothing(name: str) -> None:
    assert "subscriptions" not in notifications(name)
