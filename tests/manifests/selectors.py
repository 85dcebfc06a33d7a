"""Label selectors taken apart: for each value of a list one of its own."""

from __future__ import annotations

from collections.abc import Iterator

from tests.manifests.overlays import Object


def alternatives(selector: Object) -> Iterator[Object]:
    """A selector for each single value of its lists, with all else as it is."""
    expressions = selector.get("matchExpressions", [])
    lists = [each for each in expressions if each["operator"] == "In"]
    if not lists:
        yield selector
    for one in lists:
        others = [each for each in expressions if each is not one]
        for value in one["values"]:
            single = {**one, "values": [value]}
            yield {**selector, "matchExpressions": [*others, single]}
