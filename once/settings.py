"""Loads a program's settings, or says in one sentence which are missing or wrong."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from once.errors import Defect

S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """The settings of this kind, from the environment. Raises Defect."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        wrong = ", ".join(
            f"{prefix}{e['loc'][0]}".upper() if e["loc"] else str(e["ctx"]["error"])
            for e in error.errors()
        )
    except SettingsError as error:
        wrong = str(error)
    raise Defect(f"settings missing or wrong: {wrong}; see docs/operations.md")
