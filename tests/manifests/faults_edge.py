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

PODS = "spec.provider.kubernetes."
NO_PODS = "Gateway/once: let an EnvoyProxy run 2 pods"
KEPT = "Gateway/once: keep one pod or more, and not all"
MANAGER = "Application/cert-manager"
GATEWAY_API = "spec.source.helm.valuesObject.config.enableGatewayAPI"
NOT_TOLD = "ClusterIssuer/letsencrypt: cert-manager is not told to answer"
WAVE = {"argocd.argoproj.io/sync-wave": "-1"}
TOO_EARLY = "cert-manager does not start before the Gateway's kinds"

FAULTS = [
    *(
        Fault(edge.the_gateway_outlives_a_node, target, way, value, said)
        for target, way, value, said in (
            ("EnvoyProxy/once", "", REMOVED, NO_PODS),
            ("EnvoyProxy/once", f"{PODS}envoyDeployment.replicas", 1, NO_PODS),
            ("EnvoyProxy/once", f"{PODS}envoyDeployment.replicas", REMOVED, NO_PODS),
            ("EnvoyProxy/once", f"{PODS}envoyPDB", REMOVED, KEPT),
            ("EnvoyProxy/once", f"{PODS}envoyPDB.minAvailable", 3, KEPT),
            ("Gateway/once", "spec.infrastructure", REMOVED, NO_PODS),
        )
    ),
    *(
        Fault(
            edge.gateways_speak_no_old_tls,
            TOWARDS_CLIENTS,
            way,
            value,
            "Gateway/once: set tls.minVersion to one of 1.2, 1.3",
        )
        for way, value in (("spec.tls", REMOVED), ("spec.tls.minVersion", "1.0"))
    ),
    *(
        Fault(edge.who_asks_by_http_is_answered, target, way, value, said)
        for target, way, value, said in (
            (MANAGER, GATEWAY_API, REMOVED, NOT_TOLD),
            (MANAGER, GATEWAY_API, False, NOT_TOLD),
            (MANAGER, "", REMOVED, NOT_TOLD),
            ("Application/gateway-kinds", "", REMOVED, TOO_EARLY),
            ("Application/gateway-kinds", "metadata.annotations", WAVE, TOO_EARLY),
        )
    ),
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
