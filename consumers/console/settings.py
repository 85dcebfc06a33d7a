"""Every setting of the console, from the environment (PEEK_...)."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from once.settings import KafkaAndRegistrySettings


class PeekSettings(KafkaAndRegistrySettings):
    """Where `peek` reads from; what to read is said on the command line."""

    model_config = SettingsConfigDict(env_prefix="PEEK_", extra="ignore")
