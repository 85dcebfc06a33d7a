"""Kafka, as Strimzi's brokers and its exporter tell of it."""

from __future__ import annotations

from local.reference.dashboards.panels import (
    HERE,
    PER_SECOND,
    RECORDS,
    SHARE,
    Dashboard,
    Panel,
    disk,
    gauge,
    rate,
)

KAFKA = Dashboard(
    "strimzi/base/dashboard.json",
    "once-kafka",
    "Once: Kafka",
    (
        Panel(
            "Must stay zero",
            RECORDS,
            {
                name: gauge("sum", f"kafka_server_replicamanager_{metric}")
                for name, metric in (
                    ("under-replicated", "underreplicatedpartitions"),
                    ("too few in sync: no writes", "underminisrpartitioncount"),
                    ("transactions that hang", "partitionswithlatetransactionscount"),
                )
            }
            | {
                "without a leader": gauge(
                    "max", "kafka_controller_kafkacontroller_offlinepartitionscount"
                )
            },
        ),
        Panel(
            "Controllers: must be one; brokers that are alive",
            RECORDS,
            {
                "active controllers": gauge(
                    "sum", "kafka_controller_kafkacontroller_activecontrollercount"
                ),
                "brokers": gauge(
                    "max", "kafka_controller_kafkacontroller_activebrokercount"
                ),
                "fenced": gauge(
                    "max", "kafka_controller_kafkacontroller_fencedbrokercount"
                ),
            },
        ),
        Panel(
            "Bytes per second, in",
            "Bps",
            {
                "{{pod}}": rate(
                    "kafka_server_brokertopicmetrics_bytesinpersec_total",
                    'topic=""',
                    "pod",
                )
            },
        ),
        Panel(
            "Bytes per second, out",
            "Bps",
            {
                "{{pod}}": rate(
                    "kafka_server_brokertopicmetrics_bytesoutpersec_total",
                    'topic=""',
                    "pod",
                )
            },
        ),
        Panel(
            "Records per second, by topic",
            PER_SECOND,
            {
                "{{topic}}": rate(
                    "kafka_server_brokertopicmetrics_messagesinpersec_total",
                    'topic=~"transfer.*"',
                    "topic",
                )
            },
        ),
        Panel(
            "Partitions led, by broker",
            RECORDS,
            {"{{pod}}": gauge("sum", "kafka_server_replicamanager_leadercount", "pod")},
        ),
        Panel(
            "Replicas that leave and join the leaders",
            PER_SECOND,
            {
                "leave": rate("kafka_server_replicamanager_isrshrinkspersec_total"),
                "join": rate("kafka_server_replicamanager_isrexpandspersec_total"),
            },
        ),
        Panel(
            "Requests that failed",
            PER_SECOND,
            {
                "produce": rate(
                    "kafka_server_brokertopicmetrics_failedproducerequestspersec_total",
                    'topic=""',
                ),
                "fetch": rate(
                    "kafka_server_brokertopicmetrics_failedfetchrequestspersec_total",
                    'topic=""',
                ),
            },
        ),
        Panel(
            "The Bank's group: records without a result",
            RECORDS,
            {
                "{{partition}}": (
                    "sum by (partition) "
                    f'(kafka_consumergroup_lag{{{HERE},consumergroup="bank"}})'
                )
            },
        ),
        Panel(
            "Disks: what is free",
            SHARE,
            {"{{persistentvolumeclaim}}": disk("data-[0-9]+-once-.+")},
            limits=(0.25,),
        ),
    ),
)
