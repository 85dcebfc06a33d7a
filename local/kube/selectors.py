"""Label selectors, as the API server reads them."""

from __future__ import annotations

from local.kube.api import Object

Labels = dict[str, str]


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a selector picks what has these labels; an empty one picks all."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions", []))


def _holds(expression: Object, labels: Labels) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values", [])
    answers = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return answers[expression["operator"]]
