"""The alerts of the manifests that one machine can judge, word for word.

Left out are those that ask what only Kubernetes or an operator knows: the state of
pods and volumes, of certificates, of backups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from local.stack.parts import HERE

ROOT = HERE.parent
FOLDERS = ("argocd", "avro", "consumers", "postgres", "producers", "strimzi")
# How the metrics begin that a stack on one machine gives.
GIVEN = (
    "up",
    "once_",
    "http_server_",
    "messaging_",
    "kafka_server_",
    "kafka_controller_",
    "ccp_connection_",
)
_METRIC = re.compile(r"([a-zA-Z_:][\w:]*)\{")
_DURATION = re.compile(r"(\[|\boffset )(\d+)([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Rule = dict[str, Any]


def groups(hurry: float = 1.0) -> list[Rule]:
    """The groups of rules, as Prometheus takes them, `hurry` times as fast."""
    found = []
    for group in _all_groups():
        rules = [hurried(rule, hurry) for rule in group["rules"] if is_judged(rule)]
        if rules:
            found.append({"name": group["name"], "rules": rules})
    return found


def is_judged(rule: Rule) -> bool:
    """Whether this machine gives every metric that the rule asks for."""
    return all(name.startswith(GIVEN) for name in metrics(rule["expr"]))


def metrics(expression: str) -> set[str]:
    """The names of the metrics in an expression, each with labels in our rules."""
    return set(_METRIC.findall(expression))


def _all_groups() -> Iterator[Rule]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).glob("**/base/*.yaml")):
            yield from groups_of(file)


def groups_of(file: Path) -> Iterator[Rule]:
    """Those of the PrometheusRules in a file of manifests, as they stand there."""
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        if isinstance(document, dict) and document.get("kind") == "PrometheusRule":
            yield from document["spec"]["groups"]


def hurried(rule: Rule, hurry: float) -> Rule:
    """The same rule, with its windows and its patience divided."""
    made = {
        **rule,
        "expr": _DURATION.sub(lambda m: m[1] + _shorter(m, hurry), rule["expr"]),
    }
    if "for" in rule:
        waits = re.fullmatch(r"()(\d+)([smhd])", rule["for"])
        assert waits is not None, f"{rule['alert']} waits for {rule['for']}"
        made["for"] = _shorter(waits, hurry)
    return made


def _shorter(duration: re.Match[str], hurry: float) -> str:
    return f"{int(int(duration[2]) * _UNIT_MS[duration[3]] / hurry)}ms"
