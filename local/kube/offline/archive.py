"""Container images made from files alone: no engine, no registry, no Dockerfile.

An image is a list of layers, each a tar file kept in the cache. The archive that comes
out is what `docker load` and `ctr images import` take.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.kube import programs
from local.processes import commands

ENVIRONMENT = ("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",)
CREATED = "2026-01-01T00:00:00Z"  # the same input, the same image


@dataclass(frozen=True)
class Image:
    """What an image consists of, and how a container of it starts."""

    name: str
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    environment: tuple[str, ...] = ENVIRONMENT
    extra: dict[str, Any] = field(default_factory=dict)

    def digests(self) -> list[str]:
        """SHA-256 of each layer, in hex."""
        return [_digest(layer) for layer in self.layers]

    def write(self, target: Path) -> None:
        """Write the archive; whatever is there is replaced."""
        digests = self.digests()
        config = json.dumps(self._config(digests), sort_keys=True).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        names = [f"{digest}/layer.tar" for digest in digests]
        manifest = [{"Config": config_name, "RepoTags": [self.name], "Layers": names}]
        unfinished = target.with_suffix(".part")
        with tarfile.open(unfinished, "w") as archive:
            _add(archive, config_name, config)
            for name, layer in zip(names, self.layers, strict=True):
                archive.add(layer, name)
            _add(archive, "manifest.json", json.dumps(manifest).encode())
        unfinished.replace(target)

    def _config(self, digests: list[str]) -> dict[str, Any]:
        return {
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": {
                "Entrypoint": list(self.entrypoint) or None,
                "User": self.user,
                "Env": list(self.environment),
                **self.extra,
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{digest}" for digest in digests],
            },
            "history": [{"created": CREATED, "created_by": "once"} for _ in digests],
        }


def layer(name: str, make: Callable[[Path], None]) -> Path:
    """The layer of this name in the cache; `make` fills a folder for it, once.

    The name says all that the content depends on.
    """
    kept = programs.cache() / "layers" / f"{name}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            tree = Path(scratch) / "root"
            tree.mkdir(mode=0o755)
            make(tree)
            pack(tree, kept)
    return kept


def open_to_all(tree: Path) -> None:
    """Let every user of an image read it: who fetched it may keep it private."""
    commands.run(["chmod", "--recursive", "a+rX", str(tree)], f"opening {tree}")


def pack(folder: Path, target: Path) -> Path:
    """A tar of the folder's content, owners and modes as they are; the tar's path."""
    unfinished = target.with_suffix(".part")
    command = ["tar", "--create", "--sort=name", "--numeric-owner", "--xattrs"]
    command += [f"--mtime={CREATED}", f"--file={unfinished}", f"--directory={folder}"]
    commands.run([*command, "."], f"packing {folder}")
    unfinished.replace(target)
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
