"""Where things lie under the state directory: the only place that knows the names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.processes.files import make_folder, narrow, replace_file


@dataclass(frozen=True)
class Layout:
    """Paths under one state directory, all absolute."""

    root: Path

    @property
    def endpoints_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def passwords_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def pids(self) -> Path:
        return self.root / "run"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def pid_file(self, process: str) -> Path:
        return self.pids / f"{process}.json"

    def log(self, process: str) -> Path:
        return self.root / "logs" / f"{process}.log"

    def data(self, process: str) -> Path:
        """What a process keeps: config and data files."""
        return self.root / "data" / process

    @property
    def all_data(self) -> Path:
        return self.root / "data"

    @property
    def owned(self) -> list[Path]:
        """All that a stack makes here; jars and whatever else lies here stay."""
        made = [self.all_data, self.pids, self.temporary, self.root / "logs"]
        return [*made, self.endpoints_file, self.passwords_file, self.lock_file]

    def create(self) -> None:
        """Make the folders, private; also what an older program made wider."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.all_data, self.pids, self.temporary, self.root / "logs"):
            make_folder(path)
        narrow(self.root, [path.name for path in self.owned])


def java_path(jars: Path) -> Path:
    """The Java that was fetched into this folder of jars."""
    return jars / "java" / "bin" / "java"


def kafka_path(jars: Path) -> Path:
    """The jars of Kafka."""
    return jars / "kafka"


def registry_path(jars: Path) -> Path:
    """The registry, unpacked."""
    return jars / "registry"


def classes_path(part: Path) -> Path:
    """The parsed classes of Kafka or the registry, beside it."""
    return part.with_suffix(".jsa")


def write_json(path: Path, content: Any, *, mode: int = 0o600) -> None:
    """Replace `path` in one step, so that a reader or a crash sees old or new."""
    replace_file(path, as_json(content), mode=mode)


def as_json(content: Any) -> bytes:
    """As our files have it."""
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty when there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
