"""Every setting of a replay, from the environment (REPLAY_...)."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from once.settings import KafkaAndRegistrySettings


class ReplaySettings(KafkaAndRegistrySettings):
    """Where the log is, and both ledgers."""

    model_config = SettingsConfigDict(env_prefix="REPLAY_", extra="ignore")

    conninfo: SecretStr = Field(description="of the first ledger, role `audit`")
    new_conninfo: SecretStr = Field(
        description="of the second one, role `bank`: migrated, and empty"
    )
    topic: str = Field("transfers", description="the log")
    results_topic: str = Field("transfer-results", description="what was told")
    group: str = Field("bank", description="what may be read as; it joins no group")
