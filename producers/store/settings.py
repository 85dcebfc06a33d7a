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

    instance: str = Field(
        "0",
        description="stable name, which fences its predecessor. Two Stores never share "
        "one: with more than four fences within a minute it ends with 65",
    )
    topic: str = Field("transfers", description="its partition count is read at start")

    transaction_records_max: int = Field(
        20_000, gt=0, description="records per Kafka transaction"
    )
    transaction_interval_ms: int = Field(
        50,
        ge=1,
        le=5_000,
        description="a Kafka transaction begins so long after the last one began, at "
        "least; after a rest at once. Lines gather so long after the first. Longer: "
        "fewer transactions, more latency",
    )

    health_host: str = Field("127.0.0.1", description="where health is served")
    health_port: int | None = Field(
        None,
        description="of `/livez`, `/readyz`, `/metrics`; 0 picks one, none: no server",
    )
    stall_seconds_max: float = Field(
        60.0, description="no progress for so long: not live"
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="of the transfers, at most 4 in a transaction"
    )
    otlp_endpoint: str | None = Field(
        None, description="where spans go; none: no spans"
    )
    log_level: str = Field(
        "warning", description="`debug`, `info`, `warning` or `error`, and worse"
    )


class AnswerSettings(StoreSettings):
    """The settings of a Store that sends, and waits for the Bank's answers."""

    results_topic: str = Field("transfer-results", description="where they are")


class ServeSettings(StoreSettings):
    """The settings of a Store that serves HTTP."""

    results_topic: str = Field("transfer-results", description="followed for verdicts")
    receipts_topic: str = Field(
        "transfer-receipts", description="which ids went where, for all replicas"
    )
    log_level: str = Field(
        "info", description="`debug`, `info`, `warning` or `error`, and worse"
    )

    host: str = Field("127.0.0.1", description="of the API")
    port: int = Field(8080, description="of the API; 0 picks one")
    health_port: int | None = Field(
        0, description="of `/livez`, `/readyz`, `/metrics`; 0 picks one"
    )
    demo: bool = Field(False, description="plain HTTP without tokens; on loopback only")
    tls_cert: Path | None = Field(
        None, description="needed without demo: PEM, read again when it changes"
    )
    tls_key: Path | None = Field(
        None, description="needed without demo: PEM, read again when it changes"
    )

    jwks: str = Field(
        "",
        description="needed without demo: the issuer's keys, a file or an https URL",
    )
    jwks_ca: Path | None = Field(
        None, description="PEM file: who vouches for that URL; none: the usual"
    )
    jwks_seconds_max: float = Field(
        86_400.0,
        gt=0,
        description="keys that cannot be read again are good for so long; then 503",
    )
    token_audience: str = Field("once-store", description="tokens must name it")
    token_issuer: str = Field("", description="tokens must name it; none: any")
    token_accounts: Literal["optional", "required"] = Field(
        "optional",
        description="`required`: a token without the claim `accounts`, or the scope "
        "`transfers:any-account`, may debit none",
    )
    token_leeway_seconds: float = Field(
        30.0, ge=0, description="by which clocks may differ"
    )

    journal: Path | None = Field(
        None,
        description="a file on a real disk: accepts while Kafka is away. One per "
        "Store, kept between starts",
    )
    journal_transfers_max: int = Field(
        1_000_000, gt=0, description="then 503; about 300 bytes each"
    )
    queue_transfers_max: int = Field(
        100_000, gt=0, description="the same without a journal"
    )
    index: Path | None = Field(
        None,
        description="a folder; kept between starts, it need not be read anew from the "
        "log; none: made at each start. A cache: what is damaged is made again. One "
        "per Store",
    )
    index_bytes_max: int = Field(
        3 << 30,
        ge=64 << 20,
        description="then the oldest hours go, with a warning; 75 bytes a transfer. "
        "Leave a quarter of the volume free",
    )
    index_hours: float = Field(
        24.0,
        gt=0,
        description="older transfers get 404. Keep receipts and results as long "
        "(`retention.ms`)",
    )

    answer_seconds_max: float = Field(5.0, gt=0, description="202 or 503 by then")
    queued_after_ms: int = Field(
        500,
        ge=0,
        description="with a journal: how long to wait for Kafka before 202 `queued`",
    )
    wait_seconds_max: float = Field(30.0, gt=0, description="for `?wait=`")
    events_seconds_max: float = Field(
        300.0, gt=0, description="of one `/events`; then the client reconnects"
    )
    drain_seconds_max: float = Field(
        20.0, gt=0, description="after SIGTERM; give it 10 s more before SIGKILL"
    )

    rate_limit: int = Field(
        10_000, gt=0, description="transfers a second, per client; more get 429"
    )
    requests_max: int = Field(2_000, gt=0, description="at once; more get 503")
    waiting_max: int = Field(
        1_000,
        gt=0,
        description="`?wait=` and `/events` at once; they have places of their own",
    )
    client_share: float = Field(
        0.5, gt=0, le=1, description="of the two above, per client"
    )
    connections_max: int = Field(
        4_000,
        gt=0,
        description="at once; then the longest idle one goes. `ulimit -Hn` must allow "
        "as many files",
    )
    header_bytes_max: int = Field(16_384, gt=0, description="of one request")
    body_bytes_max: int = Field(16_384, gt=0, description="of one transfer")
    batch_bytes_max: int = Field(64 << 20, gt=0, description="of one batch")
    receive_seconds_max: float = Field(
        10.0,
        gt=0,
        description="for TLS, for the headers, for a body, for 10 KiB of an answer; "
        "for a batch: between two pieces of it",
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        description="an idle connection is closed then. Longer than whatever is "
        "before it keeps one idle (the gateway: 60 s), or a request meets a "
        "connection that is just being closed",
    )

    ack_log: Path | None = Field(
        None, description="a file: ids acknowledged, for the audit"
    )

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

    url: str = Field(description="the Store, for example `https://store:8443`")
    token: SecretStr | None = Field(
        None,
        description="scopes `transfers:write transfers:read`; none: it is a demo",
    )
    ca: Path | None = Field(
        None, description="PEM file: who vouches for the Store; none: the usual"
    )
    debit_account: int = Field(
        1, description="of the smoke test alone; needs a balance or a limit"
    )
    credit_account: int = Field(2, description="of the smoke test alone")
    amount: int = Field(1, gt=0, description="minor units")
    currency: str = Field("EUR", description="of both accounts")
    wait_seconds: float = Field(30.0, gt=0, description="for each answer")


def is_loopback(host: str) -> bool:
    """Whether what goes to this address or name stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
