"""The rules of Bank and Store are of use without Kubernetes, as far as a page says."""

from __future__ import annotations

import re

import pytest
import yaml

from local.reference.metrics import RULES, rules
from once import names
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "alerts-to-your-pager.md"
SCRAPING = ROOT / "examples" / "prometheus" / "prometheus.yml"
METRIC = re.compile(r"\b([a-z][a-z0-9_]+)\{")
POD = re.compile(r'pod=~"([^"]+)"')
OF_KUBERNETES, OF_PROMETHEUS = "kube_", "up"


def is_ours(metric: str) -> bool:
    """Whether a program of ours has it, under some name of Prometheus."""
    known = [value for value in vars(names).values() if isinstance(value, str)]
    return any(
        metric.startswith(name.replace(".", "_")) for name in known if "." in name
    )


@pytest.mark.parametrize("part", RULES)
def test_a_rule_asks_for_our_metrics_or_the_page_says_that_it_cannot_fire(
    part: str,
) -> None:
    (row,) = re.findall(r"^\| (.+) \| never fire:", PAGE.read_text(), re.MULTILINE)
    for rule in rules(RULES[part]):
        if "record" in rule:
            continue  # it is read by those that fire
        asked = set(METRIC.findall(rule["expr"])) - {OF_PROMETHEUS}
        silent = any(metric.startswith(OF_KUBERNETES) for metric in asked)
        assert silent == (f"`{rule['alert']}`" in row), rule["alert"]
        assert silent or all(map(is_ours, asked)), rule["alert"]


@pytest.mark.parametrize("part", RULES)
def test_the_example_gives_the_labels_that_rules_look_for(part: str) -> None:
    scraping = yaml.safe_load(SCRAPING.read_text())
    assert f"once-{part}.yml" in scraping["rule_files"]
    (job,) = (job for job in scraping["scrape_configs"] if job["job_name"] == part)
    for target in job["static_configs"]:
        assert target["labels"] == {"namespace": "once"}
    (relabel,) = job["relabel_configs"]
    assert relabel["target_label"] == "pod"
    pod = relabel["replacement"].replace("$1", "127.0.0.1:9101")
    looked_for = [p for rule in rules(RULES[part]) for p in POD.findall(rule["expr"])]
    assert looked_for and all(re.fullmatch(each, pod) for each in looked_for)


def test_a_metric_that_is_not_ours_is_noticed() -> None:
    assert is_ours("once_lag_records") and is_ours("once_batches_total")
    assert not is_ours("ccp_stat") and not is_ours("once_nothing")
