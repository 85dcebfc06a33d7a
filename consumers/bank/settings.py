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

    topic: str = "transfers"
    group: str = "bank"


class BankSettings(KafkaAndRegistry):
    """One worker's settings."""

    conninfo: SecretStr = Field(description="libpq conninfo of the ledger, role bank")
    instance: str = Field(
        default_factory=socket.gethostname,
        description="stable name, one per worker; fences its predecessor",
    )

    results_topic: str = "transfer-results"

    batch_records_max: int = Field(30_000, gt=0, description="bounds memory and redo")
    batch_linger_ms: int = Field(100, ge=1, description="wait to fill a batch")
    fetch_queue_kib: int = Field(8_192, description="records fetched ahead, in bytes")
    session_timeout_ms: int = Field(10_000, description="a dead worker's partitions")
    drain_seconds_max: float = Field(8.0, description="publish before partitions go")

    unknown_schema_seconds: float = Field(
        10.0, ge=0, description="an unknown schema id is asked for again so long"
    )
    doubtful_in_a_row_max: int = Field(
        100, gt=0, description="payments that only the registry is against; then stop"
    )
    restore: bool = Field(
        False, description="an older ledger takes the verdicts that were published"
    )

    health_host: str = "127.0.0.1"
    health_port: int = Field(0, description="/livez /readyz /metrics; 0 picks one")
    stall_seconds_max: float = Field(60.0, description="no progress: not live")
    metrics: bool = Field(True, description="off only to measure what they cost")
    otlp_endpoint: str | None = Field(
        None, description="where spans go; none: no spans"
    )
    log_level: str = "info"
