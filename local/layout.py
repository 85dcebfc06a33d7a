"""Where things lie under the state directory: the only place that knows the names."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
        for path in (self.root, self.pids, self.temporary, self.root / "logs"):
            path.mkdir(parents=True, exist_ok=True)
        self.all_data.mkdir(exist_ok=True)


def write_json(path: Path, content: Any, *, mode: int = 0o644) -> None:
    """Replace `path` in one step, so that a reader or a crash sees old or new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty when there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
