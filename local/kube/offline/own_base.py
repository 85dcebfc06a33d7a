"""The bases that our own images have where none can be pulled."""

from __future__ import annotations

import re
from typing import NamedTuple

from local.kube.offline import rootfs
from local.kube.offline.archive import Image
from local.kube.offline.engine import Engine
from local.kube.programs import Notify


class Base(NamedTuple):
    """An image of packages of Debian; `layer` names what is kept of it."""

    image: str
    layer: str
    packages: tuple[str, ...]


PYTHON = Base(
    "once/python:bookworm", "python", ("ca-certificates", "python3", "tzdata")
)


def ensure(engine: Engine, base: Base, notify: Notify) -> None:
    """Make it when it is missing."""
    if not engine.docker.has_image(base.image):
        layer = rootfs.layer(base.layer, base.packages, notify)
        engine.load(Image(base.image, (layer,)))


def rebased(dockerfile: str, base: Base) -> str:
    """A Dockerfile for where no base can be pulled: on one of ours.

    It names the base itself and not by an argument, which a bot would not see.
    """
    line = f"FROM {base.image} AS base"
    text, found = re.subn(r"(?m)^FROM \S+ AS base$", line, dockerfile)
    assert found == 1, "a Dockerfile of ours begins with: FROM ... AS base"
    return text
