"""Each fault wakes somebody, by the alert that is there for it and by no other.

With Prometheus, Alertmanager and a pager that is called, on a stack of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from local.platform import Platform
from local.stack import Stack, StackConfig
from local.stack.monitored import Monitoring
from local.stack.monitoring import rules
from tests.fix_platform import CREDIT_LIMIT, MERCHANTS, PARTITIONS, PAYERS
from tests.house.test_alerts_docs import page_of
from tests.house.tree import ROOT
from tests.seeding import seed_accounts
from tests.stack.alarms import FAULTS, HURRY, Fault, Scene
from tests.stack.conftest import JARS
from tests.stack.pager import SLOW_BURN, Pager

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(400)]

RAISED_WITHIN_SECONDS = 60.0


@pytest.fixture(scope="module")
def pager() -> Iterator[Pager]:
    with Pager() as pager:
        yield pager


@pytest.fixture(scope="module")
def scene(pager: Pager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A platform on a monitored stack, about which nobody is called."""
    config = StackConfig(
        state_dir=ROOT / "build" / "monitored-stack",
        jars_dir=JARS,
        monitoring=Monitoring(alerts_to=pager.url, hurry=HURRY),
    )
    if Stack.running(config.state_dir):
        Stack.attach(config.state_dir).stop()  # of a session that was killed
    stack = Stack(config)
    stack.wipe()
    with stack:
        platform = Platform(stack, "", tmp_path_factory.mktemp("alarms"))
        platform.set_up(partitions=PARTITIONS)
        seed_accounts(platform, 1, PAYERS, CREDIT_LIMIT)
        seed_accounts(platform, PAYERS + 1, MERCHANTS, 0)
        scene = Scene(platform)
        try:
            yield scene
        finally:
            scene.kill()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_raises_its_alerts_and_no_other_and_they_go(
    scene: Scene, pager: Pager, fault: Fault
) -> None:
    pager.wait_quiet()
    pager.forget()
    with fault.happens(scene):
        pager.wait(fault.raises, RAISED_WITHIN_SECONDS)
    pager.wait_quiet()
    assert pager.heard - (fault.also - fault.raises) - SLOW_BURN == fault.raises
    for name in fault.raises:
        assert (ROOT / page_of(pager.pages[name])).exists()


def test_what_rules_and_panels_ask_is_given(scene: Scene, pager: Pager) -> None:
    """Of what a stack on one machine has; after all that has happened to it."""
    pager.wait_quiet()
    asked = {
        metric
        for group in rules.groups()
        for rule in group["rules"]
        for metric in rules.metrics(rule["expr"])
    }
    for file in ROOT.glob("*/**/base/*dashboard*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                asked |= rules.metrics(target["expr"])
    asked = {metric for metric in asked if metric.startswith(rules.GIVEN)}
    assert len(asked) > 25
    with scene.traffic():
        assert scene.stack.monitoring is not None
        url = f"{scene.stack.monitoring.prometheus_url}/api/v1/label/__name__/values"
        given = set(httpx.get(url, trust_env=False).json()["data"])
    assert sorted(asked - given) == []
