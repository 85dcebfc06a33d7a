"""What a healthy platform says in metrics, and what is different when it is not.

Values are promtool's: `1x75` is 1 all the time, `0+5x60` grows by 5 each minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Series = dict[str, str]
MINUTES = 75
ALWAYS = f"x{MINUTES}"
BORN_WITH_ONE = f"_x{MINUTES - 8} 1x7"  # before its first scrape
WITH_A_HOLE = f"1x{MINUTES - 22} _x8 1x13"  # nobody answered for eight minutes
GONE = ""  # instead of values: nobody says it any more
FEW, MANY = f"0{ALWAYS}", f"0+600{ALWAYS}"
TWO_LATE = f"0+588{ALWAYS}"  # of a hundred


def slow(name: str, labels: str, fastest: float) -> Series:
    """A histogram in which all took `fastest` seconds at least, and ten at most."""
    return {
        f'{name}{{namespace="once",{labels}le="{bound}"}}': (
            MANY if float(bound) > fastest else FEW
        )
        for bound in ("0.1", "1", "10", "+Inf")
    }


STAGE, PUT, SENT = (
    ("once_stage_duration_seconds_bucket", 'stage="commit",'),
    (
        "http_server_request_duration_seconds_bucket",
        'http_route="/v1/transfers/{id}",http_request_method="PUT",',
    ),
    ("once_transaction_duration_seconds_bucket", ""),
)
BANK_UP, STORE_UP = (
    'up{namespace="once",pod="bank-1"}',
    'up{namespace="once",pod="store-1"}',
)
REGISTRY = (
    'kube_deployment_status_replicas_available{namespace="once",deployment="registry"}'
)
BANK = 'kube_deployment_status_replicas_available{namespace="once",deployment="bank"}'
EXIT = (
    'kube_pod_container_status_last_terminated_exitcode{namespace="once",'
    'container="bank",pod="bank-1"}'
)
REFUSED = (
    'once_partitions_refused{namespace="once",messaging_destination_partition_id="1"}'
)
LAG_TIME = (
    'once_lag_time_seconds{namespace="once",messaging_destination_partition_id="1"}'
)
LAG = 'once_lag_records{namespace="once",messaging_destination_partition_id="1"}'
CONSUMED = 'messaging_client_consumed_messages_total{namespace="once"}'
QUARANTINED = 'once_quarantined_total{namespace="once",reason="BAD_ENCODING"}'
ENDED = 'once_quarantined_total{namespace="once",reason="ENDS_WORKERS"}'
GAPS = 'once_emitter_gaps_total{namespace="once"}'
FENCES = 'once_fences_total{namespace="once"}'
REDOS = 'once_redos_total{namespace="once"}'
UNKNOWN = 'once_indeterminate_total{namespace="once",system="kafka"}'
RECYCLES = 'once_recycles_total{namespace="once",pod="bank-1"}'
AUDIT = 'kube_job_status_failed{namespace="once",job_name="audit-1"}'
AUDITED = 'kube_cronjob_status_last_successful_time{namespace="once",cronjob="audit"}'
STANDBYS = 'once_ledger_synchronous_standbys{namespace="once",pod="ledger-1"}'
TOO_MUCH = 'once_ledger_roles_with_too_much{namespace="once"}'
CONNECTIONS = 'ccp_connection_stats_total{namespace="once",pod="ledger-1"}'
ARCHIVE = 'ccp_archive_command_status_seconds_since_last_fail{namespace="once"}'
BACKUP = (
    "ccp_backrest_last_incr_backup_time_since_completion_seconds"
    '{{namespace="once",repo="{}"}}'
)
DISK = 'kubelet_volume_stats_{}_bytes{{namespace="once",persistentvolumeclaim="{}"}}'
LEDGER_DISK, KAFKA_DISK = "ledger-1", "data-1-once-broker-1"
ANSWERED = (
    "http_server_request_duration_seconds_count"
    '{{namespace="once",http_route="/v1/transfers/{{id}}",http_request_method="PUT",'
    'http_response_status_code="{}"}}'
)
POSTED = 'once_end_to_end_duration_seconds_{}{{namespace="once",pod="bank-1"{}}}'
BACKLOG = 'once_backlog_records{namespace="once",pod="store-1"}'
SENT_AS = 'once_transactions_total{{namespace="once",outcome="{}"}}'
FOLLOWED = 'once_followed_records_total{{namespace="once",kind="{}"}}'
KAFKA = 'kafka_server_replicamanager_{}{{namespace="once",pod="once-broker-1"}}'
CONTROLLER = 'kafka_controller_kafkacontroller_{}{{namespace="once",pod="{}"}}'
CERTIFICATE = (
    "certmanager_certificate_expiration_timestamp_seconds"
    '{namespace="cert-manager",exported_namespace="once",name="store-tls"}'
)
AUTHORITY = (
    "strimzi_certificate_expiration_timestamp_ms"
    '{namespace="strimzi",cluster="once",type="cluster-ca"}'
)
DAY_SECONDS = 86_400
OPERATOR = (
    'kube_deployment_{}{{namespace="strimzi",deployment="strimzi-cluster-operator"}}'
)
APPLICATION = (
    'argocd_app_info{{namespace="argocd",name="bank",health_status="{}",'
    'sync_status="{}"}}'
)
WELL = APPLICATION.format("Healthy", "Synced")
RECONCILED = (
    'strimzi_resource_state{namespace="strimzi",kind="Kafka",name="once",'
    'resource_namespace="once"}'
)
GROUP = 'kafka_consumergroup_lag{namespace="once",consumergroup="bank"}'

HEALTHY: Series = {
    BANK_UP: f"1{ALWAYS}",
    STORE_UP: f"1{ALWAYS}",
    REGISTRY: f"2{ALWAYS}",
    BANK: f"3{ALWAYS}",
    'kube_deployment_spec_replicas{namespace="once",deployment="bank"}': f"3{ALWAYS}",
    EXIT: f"143{ALWAYS}",
    REFUSED: FEW,
    LAG_TIME: f"2{ALWAYS}",
    LAG: f"40{ALWAYS}",
    CONSUMED: MANY,
    QUARANTINED: f"3{ALWAYS}",
    GAPS: FEW,
    FENCES: f"1{ALWAYS}",
    REDOS: f"2{ALWAYS}",
    'once_batches_total{namespace="once"}': MANY,
    UNKNOWN: FEW,
    RECYCLES: f"2{ALWAYS}",
    AUDIT: FEW,
    AUDITED: FEW,
    STANDBYS: f"1{ALWAYS}",
    TOO_MUCH: FEW,
    CONNECTIONS: f"40{ALWAYS}",
    CONNECTIONS.replace("total", "max_connections"): f"200{ALWAYS}",
    ARCHIVE: FEW,
    BACKUP.format(1): f"3600{ALWAYS}",
    BACKUP.format(2): f"3600{ALWAYS}",
    **{
        DISK.format(what, disk): f"{count}{ALWAYS}"
        for disk in (LEDGER_DISK, KAFKA_DISK)
        for what, count in (("available", 60), ("capacity", 100))
    },
    ANSWERED.format(202): MANY,
    ANSWERED.format(404): MANY,
    BACKLOG: f"20{ALWAYS}",
    SENT_AS.format("committed"): MANY,
    FOLLOWED.format("receipt"): MANY,
    FOLLOWED.format("result"): MANY,
    KAFKA.format("underminisrpartitioncount"): FEW,
    KAFKA.format("underreplicatedpartitions"): FEW,
    KAFKA.format("partitionswithlatetransactionscount"): FEW,
    KAFKA.format("leadercount"): f"18{ALWAYS}",
    CONTROLLER.format("offlinepartitionscount", "once-controller-101"): FEW,
    CONTROLLER.format("activecontrollercount", "once-controller-101"): f"1{ALWAYS}",
    CONTROLLER.format("activecontrollercount", "once-controller-102"): FEW,
    GROUP: f"12{ALWAYS}",
    POSTED.format("count", ""): MANY,
    POSTED.format("bucket", ',le="1.0"'): MANY,
    CERTIFICATE: f"{60 * DAY_SECONDS}{ALWAYS}",
    OPERATOR.format("status_replicas_available"): f"1{ALWAYS}",
    OPERATOR.format("spec_replicas"): f"1{ALWAYS}",
    WELL: f"1{ALWAYS}",
    RECONCILED: f"1{ALWAYS}",
    AUTHORITY: f"{900 * DAY_SECONDS * 1000}{ALWAYS}",
    **slow(*STAGE, fastest=0.0),
    **slow(*PUT, fastest=0.0),
    **slow(*SENT, fastest=0.0),
}


@dataclass(frozen=True)
class Case:
    """Something is wrong; the alert says so, and nobody else does."""

    alert: str
    changed: Series
    also: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return self.alert

    @property
    def series(self) -> Series:
        """All that is scraped."""
        said = {**HEALTHY, **self.changed}
        return {name: values for name, values in said.items() if values != GONE}


CASES = (
    Case("RegistryAway", {REGISTRY: FEW}),
    Case("BankAway", {BANK_UP: FEW}),
    Case("BankAway", {BANK_UP: GONE}),
    Case("BankNotReady", {BANK: f"2{ALWAYS}"}),
    Case("BankRefuses", {EXIT: f"65{ALWAYS}"}),
    Case("BankRefuses", {EXIT: f"78{ALWAYS}"}),
    Case("PartitionRefused", {REFUSED: f"1{ALWAYS}"}),
    Case("LagGrows", {LAG_TIME: f"61{ALWAYS}"}),
    Case("LagStays", {CONSUMED: f"600{ALWAYS}"}),
    Case("Quarantine", {QUARANTINED: f"0+1{ALWAYS}"}),
    Case("Quarantine", {QUARANTINED.replace("BAD", "OTHER"): BORN_WITH_ONE}),
    Case("RecordsEndWorkers", {ENDED: f"0+1{ALWAYS}"}, frozenset({"Quarantine"})),
    Case("RecordsEndWorkers", {ENDED: BORN_WITH_ONE}, frozenset({"Quarantine"})),
    Case("EmitterGap", {GAPS: f"0+1{ALWAYS}"}),
    Case("EmitterGap", {GAPS.replace('once"', 'once",pod="bank-2"'): BORN_WITH_ONE}),
    Case("BankFenced", {FENCES: f"0+2{ALWAYS}"}),
    Case("BankRedoes", {REDOS: f"0+60{ALWAYS}"}),
    Case("BankSlow", slow(*STAGE, fastest=1.0)),
    Case("CommitsUnknown", {UNKNOWN: f"0+1{ALWAYS}"}),
    Case("CommitsUnknown", {UNKNOWN.replace("kafka", "postgresql"): BORN_WITH_ONE}),
    Case("SessionsEnd", {RECYCLES: f"0+1{ALWAYS}"}),
    Case("AuditBroken", {AUDIT: f"1{ALWAYS}"}),
    Case("AuditMissing", {AUDITED: f"-130000{ALWAYS}"}),
    Case("LedgerHasNoStandby", {STANDBYS: FEW}),
    Case("LedgerHasNoPrimary", {STANDBYS: GONE}),
    Case("LedgerHasTwoPrimaries", {STANDBYS.replace("-1", "-2"): f"1{ALWAYS}"}),
    Case("LedgerRolesHaveTooMuch", {TOO_MUCH: f"1{ALWAYS}"}),
    Case("LedgerConnectionsRunOut", {CONNECTIONS: f"170{ALWAYS}"}),
    Case("LedgerArchiveFails", {ARCHIVE: f"120{ALWAYS}"}),
    Case("LedgerBackupIsOld", {BACKUP.format(2): f"100000{ALWAYS}"}),
    Case("LedgerBackupIsOld", {BACKUP.format(2): GONE}),
    Case("LedgerDiskFills", {DISK.format("available", LEDGER_DISK): f"20{ALWAYS}"}),
    Case("StoreAway", {STORE_UP: FEW}),
    Case(
        "StoreAnswers5xx",
        {ANSWERED.format(503): MANY},
        frozenset({"StoreBudgetShrinks"}),
    ),
    Case("StoreBudgetShrinks", {ANSWERED.format(503): f"0+3{ALWAYS}"}),
    Case(
        "PostedLate",
        {POSTED.format("bucket", ',le="1.0"'): FEW},
        frozenset({"PostedLateBudgetShrinks"}),
    ),
    Case("PostedLateBudgetShrinks", {POSTED.format("bucket", ',le="1.0"'): TWO_LATE}),
    Case("StoreSlow", slow(*PUT, fastest=1.0)),
    Case("StoreBacklogGrows", {BACKLOG: f"20000+100{ALWAYS}"}),
    Case("StoreTransactionsFail", {SENT_AS.format("aborted"): MANY}),
    Case("StoreTransactionsSlow", slow(*SENT, fastest=1.0)),
    Case("NoVerdicts", {FOLLOWED.format("result"): f"600{ALWAYS}"}),
    Case("KafkaUnderMinIsr", {KAFKA.format("underminisrpartitioncount"): f"1{ALWAYS}"}),
    Case(
        "KafkaPartitionsOffline",
        {
            CONTROLLER.format(
                "offlinepartitionscount", "once-controller-101"
            ): f"1{ALWAYS}"
        },
    ),
    *(
        Case(
            "KafkaNotOneController",
            {
                CONTROLLER.format(
                    "activecontrollercount", f"once-controller-{number}"
                ): f"{count}{ALWAYS}"
            },
        )
        for number, count in ((101, 0), (102, 1))
    ),
    Case("KafkaMetricsMissing", {KAFKA.format("leadercount"): GONE}),
    Case(
        "KafkaUnderReplicated",
        {KAFKA.format("underreplicatedpartitions"): f"1{ALWAYS}"},
    ),
    Case(
        "KafkaTransactionHangs",
        {KAFKA.format("partitionswithlatetransactionscount"): f"1{ALWAYS}"},
    ),
    Case("BankGroupLags", {GROUP: f"200000{ALWAYS}"}),
    Case("CertificateIsNotRenewed", {CERTIFICATE: f"{19 * DAY_SECONDS}{ALWAYS}"}),
    Case(
        "KafkaAuthorityIsNotRenewed",
        {AUTHORITY: f"{140 * DAY_SECONDS * 1000}{ALWAYS}"},
    ),
    Case("OperatorAway", {OPERATOR.format("status_replicas_available"): FEW}),
    Case("ArgoAway", {WELL: GONE}),
    *(
        Case(
            "ApplicationIsNotHealthy",
            {WELL: GONE, APPLICATION.format(state, "Synced"): f"1{ALWAYS}"},
        )
        for state in ("Degraded", "Missing", "Unknown")
    ),
    Case(
        "ApplicationIsNotSynced",
        {WELL: GONE, APPLICATION.format("Healthy", "OutOfSync"): f"1{ALWAYS}"},
    ),
    Case("KafkaIsNotReconciled", {RECONCILED: FEW}),
    Case("KafkaDiskFills", {DISK.format("available", KAFKA_DISK): f"20{ALWAYS}"}),
)
