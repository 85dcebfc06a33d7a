"""What `local.machine` looks at: this machine, or one that a test made up."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

from local.processes.ports import is_free

REPOSITORY = Path(__file__).parent.parent
UNLIMITED = resource.RLIM_INFINITY


def is_taken(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    return not is_free(port)


def _hard(limit: int) -> int:
    return resource.getrlimit(limit)[1]


@dataclass(frozen=True)
class Surroundings:
    """Everything outside of us that a start depends on; by default, as it is."""

    root: Path = Path("/")
    checkout: Path = REPOSITORY
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    uid: int = field(default_factory=os.geteuid)
    has_sudo: bool = field(default_factory=lambda: which("sudo") is not None)
    system: str = field(default_factory=lambda: os.uname().sysname)
    processor: str = field(default_factory=lambda: os.uname().machine)
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    open_files: int = field(default_factory=lambda: _hard(resource.RLIMIT_NOFILE))
    address_space: int = field(
        default_factory=lambda: resource.getrlimit(resource.RLIMIT_AS)[0]
    )
    file_size: int = field(
        default_factory=lambda: resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    )
    is_taken: Callable[[int], bool] = is_taken

    def read(self, path: str) -> str:
        """A file of the machine; empty when there is none."""
        try:
            return (self.root / path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""
