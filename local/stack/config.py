"""What a stack is to be: how many nodes, where its state is, which ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.processes.errors import StackError
from local.stack.exposure import Exposure
from local.stack.monitored import Monitoring

DEFAULT_STATE_DIR = Path(".local")
SIZES = (1, 3)


@dataclass(frozen=True)
class StackConfig:
    """What to start. Three nodes tolerate the loss of one; one is for small tests."""

    state_dir: Path = DEFAULT_STATE_DIR
    # Shared between state directories: they are the same for everyone.
    jars_dir: Path = DEFAULT_STATE_DIR / "jars"
    brokers: int = 3
    postgres: int = 3
    # Fixed ports by name (see endpoints.port_names); all others are chosen.
    ports: Mapping[str, int] = field(default_factory=dict)

    # Let Java compile the brokers well. Measured on two cores with three brokers, in
    # CPU seconds per million records: the first million costs 18 with and 9 without,
    # later ones 6 and 5, and after some 15 million it is worth it.
    full_jit: bool = False

    # A second address of brokers and Postgres, for pods in a cluster.
    exposure: Exposure | None = None

    # Postgres archives its log, and pgBackRest takes backups.
    backups: bool = False

    # Prometheus and Alertmanager beside it.
    monitoring: Monitoring | None = None

    def __post_init__(self) -> None:
        if self.brokers not in SIZES or self.postgres not in SIZES:
            raise StackError("brokers and Postgres nodes: one or three of each")
