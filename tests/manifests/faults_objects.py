"""A fault for each thing that the policies of operated objects look for."""

from __future__ import annotations

from typing import Any

from tests.manifests import policies_kafka as kafka
from tests.manifests import policies_operated as operated
from tests.manifests.planting import BANK, REMOVED, Fault

SCALED = "ScaledObject/bank"
PROMETHEUS = "spec.source.helm.valuesObject.prometheus.prometheusSpec"


def right(operation: str, kind: str, name: str, pattern: str = "literal") -> Any:
    resource = {"type": kind, "name": name, "patternType": pattern}
    return {"operations": [operation], "resource": resource}


def settings(**said: str) -> Any:
    return {"kind": "ConfigMap", "metadata": {"name": "planted"}, "data": said}


KAFKA = [
    *(
        Fault(
            kafka.every_record_is_kept_three_times,
            target,
            way,
            value,
            f"{target}: {said}",
        )
        for target, way, value, said in (
            ("KafkaTopic/transfers", "spec.replicas", 2, "set replicas to 3"),
            (
                "KafkaTopic/transfer-results",
                "spec.config",
                {"min.insync.replicas": 1},
                "set min.insync.replicas to 2",
            ),
            (
                "KafkaNodePool/controller",
                "spec.replicas",
                1,
                "set replicas to 3 or more",
            ),
        )
    ),
    Fault(
        kafka.an_upgrade_can_go_back,
        "Kafka/once",
        "spec.kafka.metadataVersion",
        REMOVED,
        "Kafka/once: set metadataVersion",
    ),
    Fault(
        kafka.every_record_is_kept_three_times,
        "Kafka/once",
        "spec.kafka.config",
        {**kafka.BROKER_CONFIG, "transaction.state.log.min.isr": 1},
        "Kafka/once: set transaction.state.log.min.isr to 2",
    ),
    *(
        Fault(
            kafka.records_are_dated_by_their_broker,
            "KafkaTopic/transfers",
            "spec.config",
            config,
            "KafkaTopic/transfers: set message.timestamp.type to LogAppendTime",
        )
        for config in ({}, {kafka.DATED: "CreateTime"})
    ),
    Fault(
        kafka.listeners_know_their_clients,
        "Kafka/once",
        "spec.kafka.listeners.1",
        {"name": "plain", "port": 9092, "type": "internal", "tls": False},
        (
            "Kafka/once: listener plain: set tls",
            "Kafka/once: listener plain: let clients show a certificate",
        ),
    ),
    Fault(
        kafka.listeners_know_their_clients,
        "Kafka/once",
        "spec.kafka.authorization",
        REMOVED,
        "Kafka/once: set authorization simple, without superusers",
    ),
    Fault(
        kafka.listeners_know_their_clients,
        "Kafka/once",
        "spec.kafka.authorization.superUsers",
        ["CN=store"],
        "Kafka/once: set authorization simple, without superusers",
    ),
    *(
        Fault(
            kafka.users_may_do_what_they_need_and_no_more,
            f"KafkaUser/{user}",
            "spec.authorization.acls.5",
            acl,
            tuple(f"KafkaUser/{user}: {each}" for each in said),
        )
        for user, acl, said in (
            (
                "store",
                right("Read", "group", "bank"),
                ["do not allow Read group bank"],
            ),
            (
                "store",
                right("Write", "transactionalId", "b", "prefix"),
                ["do not allow Write transactionalId bank-1.0"],
            ),
            (
                "store",
                right("All", "cluster", ""),
                [
                    "name the operations on cluster one by one",
                    "do not allow AlterConfigs cluster",
                ],
            ),
            (
                "tools",
                right("Read", "group", "*"),
                ["name the group instead of *", "do not allow Read group bank"],
            ),
            (
                "tools",
                right("Delete", "topic", "transfers"),
                ["do not allow Delete topic transfers"],
            ),
        )
    ),
    Fault(
        kafka.users_may_do_what_they_need_and_no_more,
        "KafkaUser/bank",
        "spec.authorization.acls.0.operations",
        ["Read", "Describe"],
        "KafkaUser/bank: allow DescribeConfigs topic transfers",
    ),
    Fault(
        kafka.users_may_do_what_they_need_and_no_more,
        "KafkaUser/bank",
        "spec.authorization.acls.4",
        right("AlterConfigs", "topic", "transfers"),
        "KafkaUser/bank: do not allow AlterConfigs topic transfers",
    ),
    Fault(
        kafka.users_may_do_what_they_need_and_no_more,
        "KafkaUser/bank",
        "spec.authorization.acls.3",
        REMOVED,
        "KafkaUser/bank: allow Read group bank",
    ),
    Fault(
        kafka.users_may_do_what_they_need_and_no_more,
        "",
        "",
        settings(BANK_RESULTS_TOPIC="transfer-results-2"),
        (
            "KafkaUser/bank: allow Write topic transfer-results-2",
            "KafkaUser/bank: allow DescribeConfigs topic transfer-results-2",
        ),
    ),
    Fault(
        kafka.workers_do_not_outnumber_partitions,
        "",
        "",
        settings(BANK_TOPIC="transfers-2"),
        f"{SCALED}: there is no KafkaTopic transfers-2",
    ),
    Fault(
        kafka.workers_do_not_outnumber_partitions,
        SCALED,
        "spec.maxReplicaCount",
        25,
        f"{SCALED}: maxReplicaCount is above the 24 partitions",
    ),
    Fault(
        kafka.workers_do_not_outnumber_partitions,
        "KafkaTopic/transfers",
        "spec.partitions",
        5,
        (
            f"{SCALED}: maxReplicaCount is above the 5 partitions",
            f"{SCALED}: fallback.replicas is above the 5 partitions",
        ),
    ),
    Fault(
        kafka.who_is_scaled_says_no_number,
        BANK,
        "spec.replicas",
        3,
        f"{BANK}: take replicas out, KEDA sets it",
    ),
]

LEDGER, BROKER = "PostgresCluster/ledger", "KafkaNodePool/broker"
OPERATED = [
    Fault(
        operated.operated_containers_are_bounded,
        BROKER,
        "spec.resources.limits.memory",
        REMOVED,
        f"{BROKER}: set limits.memory",
    ),
    Fault(
        operated.operated_containers_are_bounded,
        LEDGER,
        "spec.proxy.pgBouncer.sidecars.pgbouncerConfig.resources.requests.cpu",
        REMOVED,
        f"{LEDGER}: proxy.pgBouncer.sidecars.pgbouncerConfig: set requests.cpu",
    ),
    Fault(
        operated.operated_pods_have_a_priority,
        "Kafka/once",
        "spec.cruiseControl.template.pod.priorityClassName",
        "first",
        "Kafka/once: cruiseControl: set a priorityClassName that exists",
    ),
    Fault(
        operated.operated_pods_have_a_priority,
        LEDGER,
        "spec.instances.0.priorityClassName",
        REMOVED,
        f"{LEDGER}: main: set a priorityClassName that exists",
    ),
    Fault(
        operated.operated_data_is_spread,
        BROKER,
        "spec.template.pod.affinity",
        REMOVED,
        f"{BROKER}: keep its pods on different nodes",
    ),
    Fault(
        operated.operated_data_is_spread,
        LEDGER,
        "spec.instances.0.topologySpreadConstraints",
        [],
        f"{LEDGER}: main: spread it over the zones",
    ),
    Fault(
        operated.ours_alone_say_where_pods_go,
        LEDGER,
        "spec.disableDefaultPodScheduling",
        REMOVED,
        f"{LEDGER}: set disableDefaultPodScheduling",
    ),
    Fault(
        operated.backups_can_be_restored,
        LEDGER,
        "spec.backups.pgbackrest.configuration.0.secret.items",
        [{"key": "s3.conf", "path": "s3.conf"}],
        f"{LEDGER}: mount the whole of secret ledger-backup",
    ),
    Fault(
        operated.metrics_have_their_gate,
        "Application/postgres-operator",
        "spec.source.helm.valuesObject.extraEnv.1.value",
        "TablespaceVolumes=true",
        f"{LEDGER}: its operator lacks OpenTelemetryMetrics=true",
    ),
    Fault(
        operated.claims_name_their_class,
        "Application/monitoring",
        f"{PROMETHEUS}.storageSpec.volumeClaimTemplate.spec.storageClassName",
        REMOVED,
        "Application/monitoring: set storageClassName",
    ),
]

FAULTS = [*KAFKA, *OPERATED]
