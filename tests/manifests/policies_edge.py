"""The gateway: who runs it, who vouches for it, how long a connection may be idle."""

from __future__ import annotations

import re
from collections.abc import Iterator

from producers.store.settings import ServeSettings
from tests.manifests.overlays import Object, dig, kinds, named, wave

SETTING = "STORE_KEEP_ALIVE_SECONDS"
EARLIER_SECONDS_MIN = 10.0  # than the Store: a request may be under way by then
CLIENTS_SECONDS_MAX = 350.0  # then a load balancer before it forgets the connection
PODS_MIN = 2
TLS = ("1.2", "1.3")
CONFIG = ("spec", "source", "helm", "valuesObject", "config")
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


def the_gateway_outlives_a_node(objects: list[Object]) -> list[str]:
    """Envoy Gateway runs one pod where nothing else is said, and no budget."""
    proxies = {
        proxy["metadata"]["name"]: dig(proxy, "spec", "provider", "kubernetes") or {}
        for proxy in kinds(objects, "EnvoyProxy")
    }
    found = []
    for gateway in kinds(objects, "Gateway"):
        aimed = dig(gateway, "spec", "infrastructure", "parametersRef") or {}
        said = proxies.get(aimed.get("name", ""), {})
        pods = dig(said, "envoyDeployment", "replicas") or 1
        kept = dig(said, "envoyPDB", "minAvailable") or 0
        if not PODS_MIN <= pods:
            found.append(f"{named(gateway)}: let an EnvoyProxy run {PODS_MIN} pods")
        elif not 1 <= kept < pods:
            found.append(f"{named(gateway)}: keep one pod or more, and not all")
    return found


def gateways_speak_no_old_tls(objects: list[Object]) -> list[str]:
    """Nothing below 1.2, whatever the default of the day is."""
    return [
        f"{named(gateway)}: set tls.minVersion to one of {', '.join(TLS)}"
        for gateway in kinds(objects, "Gateway")
        if not any(
            dig(policy, "spec", "tls", "minVersion") in TLS
            for policy in _policies(objects, "ClientTrafficPolicy", gateway)
        )
    ]


def who_asks_by_http_is_answered(objects: list[Object]) -> list[str]:
    """cert-manager answers by a Gateway when it is told to, and needs the kinds then.

    cert-manager 1.21.1: pkg/issuer/acme/http/http.go:129, pkg/controller/context.go:452
    """
    asks = [
        named(issuer)
        for issuer in kinds(objects, "ClusterIssuer", "Issuer")
        for solver in dig(issuer, "spec", "acme", "solvers") or []
        if dig(solver, "http01", "gatewayHTTPRoute") is not None
    ]
    apps = {app["metadata"]["name"]: app for app in kinds(objects, "Application")}
    manager = apps.get("cert-manager")
    told = manager is not None and dig(manager, *CONFIG, "enableGatewayAPI") is True
    found = [f"{each}: cert-manager is not told to answer" for each in asks if not told]
    if told and manager is not None:
        bringer = apps.get("gateway-kinds")
        if bringer is None or wave(bringer) >= wave(manager):
            found.append("cert-manager does not start before the Gateway's kinds")
    return found


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
        for policy in _policies(objects, kind, target)
    ]
    return found[0] if len(found) == 1 else 0.0


def _policies(objects: list[Object], kind: str, target: Object) -> list[Object]:
    """Those of a kind that name this target."""
    return [
        policy
        for policy in kinds(objects, kind)
        for aimed in policy["spec"].get("targetRefs", [])
        if (aimed["kind"], aimed["name"])
        == (target["kind"], target["metadata"]["name"])
    ]


def _seconds(duration: str) -> float:
    """A duration of Envoy Gateway, as its kinds allow it."""
    return sum(_amounts(duration))


def _amounts(duration: str) -> Iterator[float]:
    for number, unit in re.findall(r"([0-9]+)(h|ms|m|s)", duration):
        yield int(number) * UNIT_SECONDS[unit]
