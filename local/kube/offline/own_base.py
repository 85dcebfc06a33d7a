"""The base that our own images have where none can be pulled."""

from __future__ import annotations

import re

from local.kube.offline import rootfs
from local.kube.offline.archive import Image
from local.kube.offline.engine import Engine
from local.kube.programs import Notify

BASE = "once/python:bookworm"
PACKAGES = ("ca-certificates", "python3", "tzdata")


def ensure(engine: Engine, notify: Notify) -> None:
    """Make it when it is missing."""
    if not engine.docker.has_image(BASE):
        layer = rootfs.layer("python", PACKAGES, notify)
        engine.load(Image(BASE, (layer,)))


def on_our_base(dockerfile: str) -> str:
    """A Dockerfile for where no base can be pulled: on one of ours.

    It names the base itself and not by an argument, which a bot would not see.
    """
    text, found = re.subn(r"(?m)^FROM \S+ AS base$", f"FROM {BASE} AS base", dockerfile)
    assert found == 1, "a Dockerfile of ours begins with: FROM ... AS base"
    return text
