"""Loads a program's settings, or says in one sentence which are missing or wrong.

They come from the environment. Secrets may lie in files instead: one per setting, with
its name in small letters, in the folder that ONCE_SECRETS_DIR names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from once.errors import Defect

S = TypeVar("S", bound=BaseSettings)

SECRETS_DIR = "ONCE_SECRETS_DIR"
REFUSE_ROOT = "ONCE_REFUSE_ROOT"  # set in our images


class KafkaSettings(BaseSettings):
    """Where Kafka is: ONCE_... unless the program has a prefix of its own."""

    model_config = SettingsConfigDict(env_prefix="ONCE_", extra="ignore")

    bootstrap_servers: str = Field(
        min_length=1, description="Kafka brokers, `host:port,...`"
    )
    kafka: dict[str, str] = Field(
        {}, description="more librdkafka settings (TLS, ...), as JSON"
    )

    @property
    def client(self) -> dict[str, str]:
        """What every client of Kafka is given."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.kafka}


class KafkaAndRegistrySettings(KafkaSettings):
    """Where records and their schemas are."""

    registry_url: str = Field(
        min_length=1,
        description="Confluent-compatible API, up to where `/subjects` begins",
    )
    registry_ca: Path | None = Field(
        None,
        description="PEM file: who vouches for a registry with TLS; none: the usual",
    )


def load(kind: type[S]) -> S:
    """The settings of this kind; the environment wins over files. Raises Defect."""
    _refuse_root()
    try:
        return kind(_secrets_dir=_secrets_dir())
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        wrong = ", ".join(
            f"{prefix}{e['loc'][0]}".upper() if e["loc"] else str(e["ctx"]["error"])
            for e in error.errors()
        )
    except SettingsError as error:
        wrong = str(error)
    raise Defect(f"settings missing or wrong: {wrong}; see docs/operations.md")


def secret_now(settings: BaseSettings, field: str) -> str:
    """A secret as its file has it now; what was loaded, where no file gave it.

    A password that was rotated is in the file some seconds later. Raises Defect.
    """
    loaded: SecretStr = getattr(settings, field)
    name = f"{settings.model_config.get('env_prefix', '')}{field}"
    folder = _secrets_dir()
    if folder is None or os.environ.get(name.upper()) is not None:
        return loaded.get_secret_value()
    file = folder / name.lower()
    return file.read_text().strip() if file.is_file() else loaded.get_secret_value()


def required(name: str) -> str:
    """One setting by its full name, from the environment or a file. Raises Defect."""
    _refuse_root()
    value = os.environ.get(name)
    folder = _secrets_dir()
    if value is None and folder is not None and (folder / name.lower()).is_file():
        value = (folder / name.lower()).read_text().strip()
    if not value:
        raise Defect(f"{name} is not set; see docs/operations.md")
    return value


def _refuse_root() -> None:
    """In a container, root is a mistake of the deployment, and we say so at once."""
    if os.environ.get(REFUSE_ROOT) and os.geteuid() == 0:
        raise Defect("this container runs as root: give it a user (runAsUser, --user)")


def _secrets_dir() -> Path | None:
    named = os.environ.get(SECRETS_DIR)
    if not named:
        return None
    if not Path(named).is_dir():
        raise Defect(f"{SECRETS_DIR} is {named}, which is no folder: is it mounted?")
    return Path(named)
