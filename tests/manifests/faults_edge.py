"""A fault for each thing that the policies of the edge look for."""

from __future__ import annotations

from tests.manifests import policies_edge as edge
from tests.manifests.planting import REMOVED, Fault

TOWARDS_STORE = "BackendTrafficPolicy/store"
TOWARDS_CLIENTS = "ClientTrafficPolicy/once"
IDLE = "spec.timeout.http.connectionIdleTimeout"
CLIENT_IDLE = "spec.timeout.http.idleTimeout"
EARLIER = (
    "HTTPRoute/store: set connectionIdleTimeout, 10 s less than "
    "STORE_KEEP_ALIVE_SECONDS"
)
LET_GO = "Gateway/once: set idleTimeout, at most 350 s"

FAULTS = [
    *(
        Fault(
            edge.the_gateway_closes_idle_connections_before_the_store,
            TOWARDS_STORE,
            way,
            value,
            f"{EARLIER} (75)",
        )
        for way, value in (
            ("", REMOVED),
            (IDLE, REMOVED),
            (IDLE, "70s"),
            (IDLE, "1m15s"),
            (IDLE, "1h"),
            (IDLE, "0s"),
            ("spec.targetRefs.0.name", "another"),
        )
    ),
    Fault(
        edge.the_gateway_closes_idle_connections_before_the_store,
        "",
        "",
        {
            "kind": "ConfigMap",
            "metadata": {"name": "store-settings"},
            "data": {edge.SETTING: "5"},
        },
        f"{EARLIER} (5)",
    ),
    *(
        Fault(edge.idle_clients_are_let_go, TOWARDS_CLIENTS, way, value, LET_GO)
        for way, value in (
            ("", REMOVED),
            (CLIENT_IDLE, REMOVED),
            (CLIENT_IDLE, "1h"),
            ("spec.targetRefs.0.kind", "HTTPRoute"),
        )
    ),
]
