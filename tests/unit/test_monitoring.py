"""What Prometheus and Alertmanager of a local stack are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from local.platform.scraped import Scraper, scraped
from local.reference.metrics import RULES
from local.reference.metrics import rules as rules_of
from local.stack import Stack, StackConfig
from local.stack.endpoints import port_names
from local.stack.monitored import Monitoring
from local.stack.monitoring import configuration, rules

PORTS = {
    name: 20_000 + number
    for number, name in enumerate(port_names(3, 3, monitored=True))
}
OF_KUBERNETES = {"BankNotReady", "BankRefuses", "AuditBroken", "AuditMissing"}


def names(groups: list[rules.Rule]) -> set[str]:
    return {
        rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule
    }


def test_rules_are_those_of_the_manifests_but_for_what_only_kubernetes_knows() -> None:
    here = names(rules.groups())
    for part in RULES.values():
        said = {rule["alert"] for rule in rules_of(part) if "alert" in rule}
        assert said - OF_KUBERNETES <= here
    assert not OF_KUBERNETES & here
    assert {"KafkaUnderMinIsr", "LedgerHasNoStandby"} <= here


def test_hurried_rules_differ_in_their_durations_only() -> None:
    for group, hurried in zip(rules.groups(), rules.groups(30.0), strict=True):
        for rule, quick in zip(group["rules"], hurried["rules"], strict=True):
            assert rule.keys() == quick.keys()
            assert rules.metrics(rule["expr"]) == rules.metrics(quick["expr"])


@pytest.mark.parametrize(
    ("said", "hurried"),
    [
        ("rate(a{}[5m])", "rate(a{}[10000ms])"),
        ("a{} offset 15m", "a{} offset 30000ms"),
        ("a{} > 36 * 3600", "a{} > 36 * 3600"),
        ("once:x:ratio_rate5m > 6 * 0.01", "once:x:ratio_rate5m > 6 * 0.01"),
    ],
)
def test_durations_are_divided_and_numbers_are_not(said: str, hurried: str) -> None:
    rule = rules.hurried({"alert": "A", "expr": said, "for": "1m"}, 30.0)
    assert rule == {"alert": "A", "expr": hurried, "for": "2000ms"}


def test_brokers_are_scraped_under_the_labels_that_rules_ask_for() -> None:
    files = configuration.prometheus(Monitoring(), PORTS, brokers=3, postgres=3)
    kafka = files["prometheus.yaml"]["scrape_configs"][0]["static_configs"]
    assert [each["labels"] for each in kafka] == [
        {"namespace": "once", "pod": f"kafka-{number}"} for number in (1, 2, 3)
    ]


def test_the_questions_to_the_ledger_are_the_operators_under_their_names() -> None:
    asked = configuration.queries()
    named = {
        f"{key}_{column}"
        for key, query in asked.items()
        for metric in query["metrics"]
        for column in metric
    }
    assert {
        "once_ledger_synchronous_standbys",
        "once_ledger_roles_with_too_much",
        "ccp_connection_stats_total",
        "ccp_connection_stats_max_connections",
    } == named


def test_nobody_is_called_unless_somebody_is_named() -> None:
    (silent,) = configuration.alertmanager(Monitoring())["receivers"]
    assert silent["webhook_configs"] == []
    called = Monitoring(alerts_to="http://127.0.0.1:1/")
    (loud,) = configuration.alertmanager(called)["receivers"]
    assert [hook["url"] for hook in loud["webhook_configs"]] == ["http://127.0.0.1:1/"]


class Watched:
    """A stack that is monitored, as far as a program is told of it."""

    def __init__(self, monitored: bool) -> None:
        self.monitoring: Scraper | None = self if monitored else None
        self.told: dict[str, dict[str, int]] = {}

    def scrape(self, name: str, ports: Mapping[str, int]) -> None:
        self.told[name] = dict(ports)


@pytest.mark.parametrize(
    ("arguments", "kind", "pods"),
    [
        (["consumers.bank", "run", "--workers", "3"], "bank", 3),
        (["consumers.bank", "run", "--workers=2"], "bank", 2),
        (["consumers.bank", "run"], "bank", 1),
        (["producers.store", "serve"], "store", 1),
    ],
)
def test_a_program_that_stays_gets_ports_that_are_scraped(
    arguments: list[str], kind: str, pods: int
) -> None:
    stack = Watched(monitored=True)
    instance = {f"{kind}_INSTANCE".upper(): "a"}
    settings = scraped(stack, arguments, instance)
    first = int(settings[f"{kind}_HEALTH_PORT".upper()])
    assert stack.told == {
        f"{kind}-a": {f"{kind}-a-{number}": first + number for number in range(pods)}
    }


@pytest.mark.parametrize(
    ("monitored", "arguments", "settings"),
    [
        (False, ["consumers.bank", "run"], {}),
        (True, ["producers.store", "emit"], {}),
        (True, ["once"], {}),
        (True, ["consumers.bank", "run"], {"BANK_HEALTH_PORT": "9101"}),
    ],
)
def test_who_is_not_scraped_keeps_its_settings(
    monitored: bool, arguments: list[str], settings: dict[str, str]
) -> None:
    stack = Watched(monitored)
    assert scraped(stack, arguments, settings) == settings
    assert stack.told == {}


def test_a_stack_that_is_not_monitored_has_no_ports_for_it(tmp_path: Path) -> None:
    config = StackConfig(state_dir=tmp_path)
    assert Stack(config).config.monitoring is None
    assert "prometheus" not in port_names(3, 3)
