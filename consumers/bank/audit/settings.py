"""Every setting of the audit, from the environment (AUDIT_...)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from once.settings import KafkaAndRegistrySettings


class AuditSettings(KafkaAndRegistrySettings):
    """Where to look."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_", extra="ignore")

    conninfo: SecretStr = Field(
        description="libpq conninfo of the primary, role `audit`"
    )
    topic: str = Field("transfers", description="the log")
    results_topic: str = Field("transfer-results", description="of the Bank")
    group: str = Field(
        "bank", description="whose offsets say what is published; it joins no group"
    )
    waivers: Path | None = Field(
        None, description="a file of signed waivers: known findings that are accepted"
    )
    waiver_key: Path | None = Field(
        None, description="whose signatures count: an Ed25519 public key, PEM"
    )
