"""Every setting of the Store, from the environment (STORE_...)."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from once.settings import KafkaAndRegistrySettings


class StoreSettings(KafkaAndRegistrySettings):
    """One Store's settings."""

    model_config = SettingsConfigDict(env_prefix="STORE_", extra="ignore")

    instance: str = Field("0", description="stable name; fences its predecessor")
    topic: str = "transfers"

    transaction_records_max: int = Field(20_000, gt=0, description="by size")
    transaction_linger_ms: int = Field(100, ge=1, description="and by time")

    health_host: str = "127.0.0.1"
    health_port: int | None = Field(None, description="/metrics etc.; 0 picks one")
    stall_seconds_max: float = Field(60.0, description="no progress: not live")
    trace_ratio: float = Field(0.01, ge=0, le=1)
    otlp_endpoint: str | None = Field(
        None, description="where spans go; none: no spans"
    )
    log_level: str = "warning"


class ServeSettings(StoreSettings):
    """The settings of a Store that serves HTTP."""

    results_topic: str = "transfer-results"
    receipts_topic: str = "transfer-receipts"
    transaction_interval_ms: int = Field(60, ge=0, description="fewer, larger ones")
    log_level: str = "info"

    host: str = "127.0.0.1"
    port: int = Field(8080, description="0 picks a free one")
    health_port: int | None = Field(0, description="/livez /readyz /metrics")
    demo: bool = Field(False, description="plain HTTP, no tokens; loopback only")
    tls_cert: Path | None = Field(
        None, description="chain in PEM; read again when it changes"
    )
    tls_key: Path | None = Field(None, description="its key in PEM")

    jwks: str = Field("", description="the issuer's keys: file, or https URL")
    jwks_ca: Path | None = Field(None, description="who vouches for that URL, in PEM")
    jwks_seconds_max: float = Field(
        86_400.0, gt=0, description="keys that cannot be read again end then"
    )
    token_audience: str = Field("once-store", description="tokens must name it")
    token_issuer: str = Field("", description="tokens must name it; empty: any")
    token_accounts: Literal["optional", "required"] = Field(
        "optional", description="whether each token must name accounts to debit"
    )
    token_leeway_seconds: float = Field(30.0, ge=0, description="clocks differ")

    journal: Path | None = Field(None, description="accepts while Kafka is away")
    journal_transfers_max: int = Field(1_000_000, gt=0, description="then 503")
    queue_transfers_max: int = Field(100_000, gt=0, description="without a journal")
    index: Path | None = Field(None, description="a folder; none: made at each start")
    index_bytes_max: int = Field(3 << 30, ge=64 << 20, description="then oldest go")
    index_hours: float = Field(24.0, gt=0, description="older ones get 404")

    answer_seconds_max: float = Field(5.0, gt=0, description="202 or 503 by then")
    queued_after_ms: int = Field(500, ge=0, description="with a journal: 202 queued")
    wait_seconds_max: float = Field(30.0, gt=0, description="for ?wait=")
    events_seconds_max: float = Field(300.0, gt=0, description="then reconnect")
    drain_seconds_max: float = Field(20.0, gt=0, description="after SIGTERM")

    rate_limit: int = Field(10_000, gt=0, description="transfers/s, per client")
    requests_max: int = Field(2_000, gt=0, description="at once; more get 503")
    waiting_max: int = Field(1_000, gt=0, description="?wait= and events at once")
    client_share: float = Field(0.5, gt=0, le=1, description="of those, per client")
    connections_max: int = Field(4_000, gt=0, description="at once")
    header_bytes_max: int = Field(16_384, gt=0, description="of one request")
    body_bytes_max: int = Field(16_384, gt=0, description="of one transfer")
    batch_bytes_max: int = Field(64 << 20, gt=0, description="of one batch")
    receive_seconds_max: float = Field(10.0, gt=0, description="headers, or silence")
    keep_alive_seconds: float = Field(
        75.0, gt=0, description="idle connections; longer than the gateway's"
    )

    ack_log: Path | None = Field(None, description="ids acknowledged, for the audit")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.demo:
            if not is_loopback(self.host):
                said = f"loopback STORE_HOST only, not {self.host!r}"
                raise ValueError(f"STORE_DEMO serves on a {said}")
        elif not (self.tls_cert and self.tls_key and self.jwks):
            raise ValueError(
                "STORE_TLS_CERT, STORE_TLS_KEY and STORE_JWKS are needed (make certs; "
                "or STORE_DEMO=1 for plain HTTP without tokens on loopback)"
            )
        return self


class SmokeSettings(BaseSettings):
    """The settings of the smoke test, from the environment (SMOKE_...)."""

    model_config = SettingsConfigDict(env_prefix="SMOKE_", extra="ignore")

    url: str = Field(description="the Store to ask")
    token: SecretStr | None = Field(None, description="none: the Store is a demo")
    ca: Path | None = Field(None, description="who vouches for it; none: the usual")
    debit_account: int = Field(1, description="of the smoke test alone")
    credit_account: int = 2
    amount: int = Field(1, gt=0, description="minor units")
    currency: str = "EUR"
    wait_seconds: float = Field(30.0, gt=0, description="for one answer")


def is_loopback(host: str) -> bool:
    """Whether what goes to this address or name stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
