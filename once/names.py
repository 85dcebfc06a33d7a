"""Every name that leaves the process in a metric or a span, in one place.

Where OpenTelemetry has a convention (``messaging.*``, ``db.*``) it is used as it
is; everything of our own is ``once.*``. Dashboards, alerts and tests import or quote
these names, so a rename is a change of the public interface.

Metric attributes are short words (``verdict``, ``stage``): the metric's own name
carries the namespace, and people type these labels into queries. Span attributes have
no such name around them and carry the namespace themselves.

In Prometheus dots become underscores and units and ``_total`` are added:
``once.fences`` is ``once_fences_total``, ``once.stage.duration`` is
``once_stage_duration_seconds``.
"""

from __future__ import annotations

from typing import Final

# -- resource: who speaks ---------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SCOPE: Final = "once"

# -- metrics of whoever applies records of Kafka to Postgres --------------------------
RECORDS_CONSUMED: Final = "messaging.client.consumed.messages"
RESULTS: Final = "once.results"
QUARANTINED: Final = "once.quarantined"
BATCHES: Final = "once.batches"
BATCH_RECORDS: Final = "once.batch.records"
STAGE_DURATION: Final = "once.stage.duration"
LAG_RECORDS: Final = "once.lag.records"
LAG_TIME: Final = "once.lag.time"
HELD_BACK_TIME: Final = "once.held_back.time"
REFUSED: Final = "once.partitions.refused"
FENCES: Final = "once.fences"
REDOS: Final = "once.redos"
EMITTER_GAPS: Final = "once.emitter.gaps"

# -- metrics of whoever emits records to Kafka ----------------------------------------
RECORDS_SENT: Final = "messaging.client.sent.messages"
RECORDS_ACKNOWLEDGED: Final = "once.records.acknowledged"
TRANSACTIONS: Final = "once.transactions"
TRANSACTION_DURATION: Final = "once.transaction.duration"
INPUT_REJECTED: Final = "once.input.rejected"

# -- metrics of whoever serves HTTP ---------------------------------------------------
HTTP_DURATION: Final = "http.server.request.duration"
BACKLOG_RECORDS: Final = "once.backlog.records"
WATCHED_RECORDS: Final = "once.watched.records"
FOLLOWED_RECORDS: Final = "once.followed.records"
INDEX_SIZE: Final = "once.index.size"
ISSUER_KEYS_AGE: Final = "once.issuer.keys.age"

# -- metrics of both ------------------------------------------------------------------
RECYCLES: Final = "once.recycles"
INDETERMINATE: Final = "once.indeterminate"
END_TO_END_DURATION: Final = "once.end_to_end.duration"

# -- attributes of metrics ------------------------------------------------------------
VERDICT: Final = "verdict"
REASON: Final = "reason"
STAGE: Final = "stage"
OUTCOME: Final = "outcome"
SYSTEM: Final = "system"
KIND: Final = "kind"

# -- attributes of the conventions, for metrics and spans -----------------------------
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_PARTITION: Final = "messaging.destination.partition.id"
MESSAGING_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_OFFSET: Final = "messaging.kafka.offset"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"

# -- attributes of spans that are ours ------------------------------------------------
SPAN_VERDICT: Final = "once.verdict"

# -- values ---------------------------------------------------------------------------
KAFKA: Final = "kafka"
POSTGRESQL: Final = "postgresql"

COMMITTED: Final = "committed"
ABORTED: Final = "aborted"
OUTCOME_INDETERMINATE: Final = "indeterminate"
OUTCOMES: Final = (COMMITTED, ABORTED, OUTCOME_INDETERMINATE)

# The stages of one batch, in order. `poll` contains the wait for records: it is idle
# time when lag is zero, and a slow broker when it is not.
POLL: Final = "poll"
DECODE: Final = "decode"
LOAD: Final = "load"
DECIDE: Final = "decide"
POST: Final = "post"
COMMIT: Final = "commit"
PUBLISH: Final = "publish"
STAGES: Final = (POLL, DECODE, LOAD, DECIDE, POST, COMMIT, PUBLISH)

# Operations that name spans: "<operation> <destination>", as the conventions ask.
SEND: Final = "send"
PROCESS: Final = "process"


def span_name(operation: str, destination: str) -> str:
    """The conventional name of a messaging span, e.g. ``send orders``."""
    return f"{operation} {destination}"
