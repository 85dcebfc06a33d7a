"""Every setting of the Bank, from the environment (BANK_...), with working defaults.

On the local stack `python -m local run` sets them; on Kubernetes they come from a
ConfigMap and mounted secrets.
"""

from __future__ import annotations

import socket

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from once.settings import KafkaAndRegistrySettings


class KafkaAndRegistry(KafkaAndRegistrySettings):
    """Where the records are, for those who need no more."""

    model_config = SettingsConfigDict(env_prefix="BANK_", extra="ignore")

    topic: str = Field(
        "transfers", description="the log; never changed on a ledger in use"
    )
    group: str = Field(
        "bank",
        description="never changed on a ledger in use: its offset would be missing",
    )


class BankSettings(KafkaAndRegistry):
    """One worker's settings."""

    conninfo: SecretStr = Field(
        description="libpq conninfo of the ledger, role `bank`; several hosts are fine"
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        description="stable name, which fences its predecessor; else the host's name. "
        "Two workers never share one; those of `run --workers N` have -0, -1, ... "
        "behind it",
    )

    results_topic: str = Field("transfer-results", description="where verdicts go")

    batch_records_max: int = Field(30_000, gt=0, description="bounds memory and redo")
    batch_interval_ms: int = Field(
        80,
        ge=0,
        le=5_000,
        description="a batch begins so long after the last one began, at least; after "
        "a rest at once. Longer: fewer and larger ones, less CPU, more latency",
    )
    fetch_queue_kib: int = Field(
        8_192, description="KiB fetched ahead; the largest part of memory"
    )
    session_timeout_ms: int = Field(
        10_000, description="after this a dead worker's partitions move"
    )
    drain_seconds_max: float = Field(
        8.0,
        description="how long it may publish results, before it gives partitions up",
    )

    unknown_schema_seconds: float = Field(
        10.0,
        ge=0,
        description="an unknown schema id is asked for again so long before its "
        "records are set aside (runbook quarantine)",
    )
    doubtful_in_a_row_max: int = Field(
        100,
        gt=0,
        description="more records in a row that read as payments, and that only the "
        "registry is against: their partition is refused (runbook quarantine)",
    )
    restore: bool = Field(
        False,
        description="an older ledger takes the verdicts that were published; with one "
        "worker only (runbook ledger-behind)",
    )

    health_host: str = Field("127.0.0.1", description="where health is served")
    health_port: int = Field(
        0,
        description="of `/livez`, `/readyz`, `/metrics`; 0 picks one. Worker n of "
        "`run --workers N` has port + n",
    )
    stall_seconds_max: float = Field(
        60.0, description="no progress for so long: not live"
    )
    metrics: bool = Field(True, description="off only to measure what they cost")
    otlp_endpoint: str | None = Field(
        None, description="where spans go; none: no spans"
    )
    log_level: str = Field(
        "info", description="`debug`, `info`, `warning` or `error`, and worse"
    )
