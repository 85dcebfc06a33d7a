"""Nobody scrapes any more what an alert or a panel asks."""

from __future__ import annotations

from tests.manifests.planting import REMOVED, Fault
from tests.manifests.policies_monitoring import what_is_asked_is_scraped

VALUES = "spec.source.helm.valuesObject."
MONITORING = "Application/monitoring"


def asks(who: str, metric: str) -> str:
    """As the policy says it."""
    return f"{who} asks {metric}, and nobody scrapes it"


AVAILABLE, LEFT = (
    f"kubelet_volume_stats_{what}_bytes" for what in ("capacity", "available")
)
DISKS = tuple(
    asks(who, metric)
    for who in (
        "ConfigMap/kafka-dashboard: Disks: what is free",
        "ConfigMap/ledger-dashboard: Disks: what is free",
        "PrometheusRule/kafka: KafkaDiskFills",
        "PrometheusRule/ledger: LedgerDiskFills",
    )
    for metric in (LEFT, AVAILABLE)
)
PLATFORM = "ConfigMap/platform-dashboard: "
OPERATORS = "PrometheusRule/operators: "
CERTIFICATES = "PrometheusRule/certificates: "
ENDS = "certmanager_certificate_expiration_timestamp_seconds"
AUTHORITY = "strimzi_certificate_expiration_timestamp_ms"
GROUP = "kafka_consumergroup_lag"
REPLICAS = "kube_deployment_status_replicas_available"
STATES = (
    asks("ConfigMap/once-dashboard: Must stay zero", "kube_job_status_failed"),
    asks(f"{PLATFORM}Pods of operators", REPLICAS),
    asks("PrometheusRule/bank: AuditBroken", "kube_job_status_failed"),
    asks(
        "PrometheusRule/bank: AuditMissing",
        "kube_cronjob_status_last_successful_time",
    ),
    asks("PrometheusRule/bank: BankNotReady", "kube_deployment_spec_replicas"),
    asks("PrometheusRule/bank: BankNotReady", REPLICAS),
    asks(
        "PrometheusRule/bank: BankRefuses",
        "kube_pod_container_status_last_terminated_exitcode",
    ),
    asks(f"{OPERATORS}OperatorAway", "kube_deployment_spec_replicas"),
    asks(f"{OPERATORS}OperatorAway", REPLICAS),
    asks("PrometheusRule/registry: RegistryAway", REPLICAS),
)

FAULTS = [
    Fault(what_is_asked_is_scraped, target, way, value, said)
    for target, way, value, said in (
        (MONITORING, f"{VALUES}kubelet.enabled", False, DISKS),
        (
            MONITORING,
            f"{VALUES}prometheusOperator.kubeletService.enabled",
            False,
            DISKS,
        ),
        (MONITORING, f"{VALUES}prometheusOperator.kubeletService", REMOVED, DISKS),
        (MONITORING, f"{VALUES}kubeStateMetrics", {"enabled": False}, STATES),
        (
            "Application/cert-manager",
            f"{VALUES}prometheus",
            REMOVED,
            (
                asks(f"{PLATFORM}Certificates end in", ENDS),
                asks(f"{CERTIFICATES}CertificateIsNotRenewed", ENDS),
            ),
        ),
        (
            "PodMonitor/argocd",
            "",
            REMOVED,
            tuple(
                asks(who, "argocd_app_info")
                for who in (
                    f"{PLATFORM}Applications that are not well, or not as git has them",
                    f"{OPERATORS}ApplicationIsNotHealthy",
                    f"{OPERATORS}ApplicationIsNotSynced",
                    f"{OPERATORS}ArgoAway",
                )
            ),
        ),
        (
            "PodMonitor/strimzi",
            "",
            REMOVED,
            (
                asks(f"{PLATFORM}Certificates end in", AUTHORITY),
                asks(f"{CERTIFICATES}KafkaAuthorityIsNotRenewed", AUTHORITY),
                asks(f"{OPERATORS}KafkaIsNotReconciled", "strimzi_resource_state"),
            ),
        ),
        (
            "Kafka/once",
            "spec.kafkaExporter",
            REMOVED,
            (
                asks(
                    "ConfigMap/kafka-dashboard: "
                    "The Bank's group: records without a result",
                    GROUP,
                ),
                asks("PrometheusRule/kafka: BankGroupLags", GROUP),
            ),
        ),
    )
]
