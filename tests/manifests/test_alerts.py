"""Every alert, judged by Prometheus itself: it is raised by its fault, and by no other.

healthy platform, 75 minutes        nothing is raised
the same with one thing wrong       this alert, and no other
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.manifests.alert_cases import (
    CASES,
    ENDED,
    GAPS,
    HEALTHY,
    MINUTES,
    QUARANTINED,
    UNKNOWN,
    WITH_A_HOLE,
    Case,
    Series,
)
from tests.manifests.overlays import Object, environment, kinds

RAISED = 'group by (alertname) (ALERTS{alertstate="firing"})'
TIMEOUT_SECONDS = 60.0


@cache
def groups() -> list[Object]:
    """The rules of production, as Prometheus takes them."""
    return [
        {**group, "name": f"{rules['metadata']['name']}-{group['name']}"}
        for rules in kinds(environment("production"), "PrometheusRule")
        for group in rules["spec"]["groups"]
    ]


def promtool(folder: Path, verb: str, content: object) -> str:
    """What it finds wrong, or nothing."""
    file = folder / f"{verb}.yaml"
    file.write_text(yaml.safe_dump(content))
    done = subprocess.run(
        ["promtool", verb, "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def found_wrong(folder: Path, series: Series, raised: set[str]) -> str:
    """How what is raised in the end differs from that."""
    rules = folder / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups()}))
    samples = [{"labels": f'{{alertname="{each}"}}', "value": 1} for each in raised]
    asked = {"expr": RAISED, "eval_time": f"{MINUTES}m", "exp_samples": samples}
    test = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [asked],
    }
    content = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [test],
    }
    return promtool(folder, "test", content)


def test_prometheus_takes_every_rule(tmp_path: Path) -> None:
    assert promtool(tmp_path, "check", {"groups": groups()}) == ""


def test_a_healthy_platform_raises_nothing(tmp_path: Path) -> None:
    assert found_wrong(tmp_path, HEALTHY, set()) == ""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_raises_its_alert_and_no_other(case: Case, tmp_path: Path) -> None:
    assert found_wrong(tmp_path, case.series, {case.alert, *case.also}) == ""


@pytest.mark.parametrize("counter", [QUARANTINED, ENDED, GAPS, UNKNOWN])
def test_what_was_counted_before_a_hole_is_nothing_new(
    counter: str, tmp_path: Path
) -> None:
    assert found_wrong(tmp_path, {**HEALTHY, counter: WITH_A_HOLE}, set()) == ""


def test_every_alert_has_a_fault() -> None:
    rules = (rule for group in groups() for rule in group["rules"])
    known = {rule["alert"] for rule in rules if "alert" in rule}
    assert known == {case.alert for case in CASES}


def test_an_alert_that_is_not_raised_is_noticed(tmp_path: Path) -> None:
    assert "BankAway" in found_wrong(tmp_path, HEALTHY, {"BankAway"})
