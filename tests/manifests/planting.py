"""Spoiling one thing in objects that are good."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.manifests.overlays import Object, named

REMOVED = object()  # as a value: take it out
# Ways to what is spoilt most.
POD = "spec.template.spec."
C0 = f"{POD}containers.0."
BANK, STORE = "Deployment/bank", "Rollout/store"

Policy = Callable[[list[Object]], list[str]]


@dataclass(frozen=True)
class Fault:
    """One thing spoilt in an environment, and all that a policy must say of it."""

    policy: Policy
    target: str  # the object that findings call so; empty: one more, which is the value
    way: str  # empty: the object as a whole
    value: Any
    said: str | tuple[str, ...]
    where: str = "production"

    def __str__(self) -> str:
        return f"{self.policy.__name__}-{self.target}-{self.way}"

    @property
    def findings(self) -> list[str]:
        """What the policy must find, no more and no less."""
        return [self.said] if isinstance(self.said, str) else [*self.said]

    def plant(self, objects: list[Object]) -> list[Object]:
        """A copy of the objects with the fault in it."""
        spoilt = copy.deepcopy(objects)
        if not self.target:
            return [*spoilt, self.value]
        target = find(spoilt, self.target)
        if not self.way:
            assert self.value is REMOVED
            return [obj for obj in spoilt if obj is not target]
        put(target, self.way, self.value)
        return spoilt


def find(objects: list[Object], name: str) -> Object:
    """The object that findings call so."""
    (found,) = (obj for obj in objects if named(obj) == name)
    return found


def put(obj: Object, way: str, value: Any) -> None:
    """Set what is at the end of a way like `spec.ports.0.name`; make the way."""
    *steps, last = way.split(".")
    here: Any = obj
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    key: Any = int(last) if isinstance(here, list) else last
    if value is REMOVED:
        del here[key]
    elif isinstance(here, list) and key == len(here):
        here.append(value)
    else:
        here[key] = value
