"""What was promised, and those who keep everything as git has it."""

from __future__ import annotations

from local.reference.dashboards.panels import (
    RECORDS,
    SECONDS,
    Dashboard,
    Panel,
    burning,
)

PLATFORM = Dashboard(
    "argocd/edge/base/dashboard.json",
    "once-promises",
    "Once: promises and platform",
    (
        burning("payments_failed", 0.001),
        burning("posted_late", 0.01),
        Panel(
            "Applications that are not well, or not as git has them",
            RECORDS,
            {
                "{{name}}: {{health_status}}": (
                    "sum by (name, health_status) (argocd_app_info"
                    '{namespace="argocd",health_status!="Healthy"})'
                ),
                "{{name}}: {{sync_status}}": (
                    "sum by (name, sync_status) (argocd_app_info"
                    '{namespace="argocd",sync_status!="Synced"})'
                ),
            },
        ),
        Panel(
            "Pods of operators",
            RECORDS,
            {
                "{{namespace}}/{{deployment}}": (
                    "sum by (namespace, deployment) "
                    "(kube_deployment_status_replicas_available"
                    '{namespace=~"argocd|argo-rollouts|cert-manager|envoy-gateway|'
                    'external-secrets|keda|postgres-operator|strimzi"})'
                )
            },
        ),
        Panel(
            "Certificates end in",
            SECONDS,
            {
                "{{name}}": (
                    "min by (name) "
                    "(certmanager_certificate_expiration_timestamp_seconds"
                    '{exported_namespace="once"}) - time()'
                ),
                "Kafka: {{type}}": (
                    "min by (type) (strimzi_certificate_expiration_timestamp_ms"
                    '{cluster="once"}) / 1000 - time()'
                ),
            },
            limits=(20 * 86_400.0,),
        ),
    ),
)
