"""How long a connection may be idle, on either side of the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator

from producers.store.settings import ServeSettings
from tests.manifests.overlays import Object, dig, kinds, named

SETTING = "STORE_KEEP_ALIVE_SECONDS"
EARLIER_SECONDS_MIN = 10.0  # than the Store: a request may be under way by then
CLIENTS_SECONDS_MAX = 350.0  # then a load balancer before it forgets the connection
UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def the_gateway_closes_idle_connections_before_the_store(
    objects: list[Object],
) -> list[str]:
    """Who closes an idle connection must be who sends the next request on it."""
    shortest = min(_keep_alive_seconds(objects))
    said = f"set connectionIdleTimeout, {EARLIER_SECONDS_MIN:g} s less than {SETTING}"
    return [
        f"{named(route)}: {said} ({shortest:g})"
        for route in kinds(objects, "HTTPRoute")
        if any("backendRefs" in rule for rule in route["spec"]["rules"])
        if not 0
        < _idle_seconds(objects, "BackendTrafficPolicy", route, "connectionIdleTimeout")
        <= shortest - EARLIER_SECONDS_MIN
    ]


def idle_clients_are_let_go(objects: list[Object]) -> list[str]:
    """An idle connection costs memory, and what is between us may have forgotten it."""
    return [
        f"{named(gateway)}: set idleTimeout, at most {CLIENTS_SECONDS_MAX:g} s"
        for gateway in kinds(objects, "Gateway")
        if not 0
        < _idle_seconds(objects, "ClientTrafficPolicy", gateway, "idleTimeout")
        <= CLIENTS_SECONDS_MAX
    ]


def _keep_alive_seconds(objects: list[Object]) -> list[float]:
    """What the settings of Stores say, or else the default."""
    said = [dig(each, "data", SETTING) for each in kinds(objects, "ConfigMap")]
    default: float = ServeSettings.model_fields["keep_alive_seconds"].default
    return [float(each) for each in said if each is not None] or [default]


def _idle_seconds(
    objects: list[Object], kind: str, target: Object, field: str
) -> float:
    """What the policies of a route or gateway say; 0 when there is none, or several."""
    found = [
        _seconds(dig(policy, "spec", "timeout", "http", field) or "0s")
        for policy in kinds(objects, kind)
        for aimed in policy["spec"].get("targetRefs", [])
        if (aimed["kind"], aimed["name"])
        == (target["kind"], target["metadata"]["name"])
    ]
    return found[0] if len(found) == 1 else 0.0


def _seconds(duration: str) -> float:
    """A duration of Envoy Gateway, as its kinds allow it."""
    return sum(_amounts(duration))


def _amounts(duration: str) -> Iterator[float]:
    for number, unit in re.findall(r"([0-9]+)(h|ms|m|s)", duration):
        yield int(number) * UNIT_SECONDS[unit]
