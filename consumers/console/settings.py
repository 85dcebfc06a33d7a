"""Every setting of the console, from the environment (PEEK_...)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PeekSettings(BaseSettings):
    """Where `peek` reads from; what to read is said on the command line."""

    model_config = SettingsConfigDict(env_prefix="PEEK_", extra="ignore")

    bootstrap_servers: str = Field(
        min_length=1, description="Kafka brokers, host:port,..."
    )
    registry_url: str = Field(
        min_length=1, description="Confluent-compatible API of the registry"
    )
    registry_ca: Path | None = Field(None, description="who vouches for it, in PEM")
    kafka: dict[str, str] = Field({}, description="more librdkafka settings (TLS, ...)")
