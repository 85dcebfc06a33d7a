"""Every setting of the Store, from the environment (STORE_...)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """One Store's settings."""

    model_config = SettingsConfigDict(env_prefix="STORE_", extra="ignore")

    bootstrap_servers: str = Field(description="Kafka brokers, host:port,...")
    registry_url: str = Field(description="Confluent-compatible API of the registry")
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

    kafka: dict[str, str] = Field({}, description="more librdkafka settings (TLS, ...)")
