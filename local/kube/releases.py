"""What Argo CD and Argo Rollouts ship to be installed, kept here: no Go is needed then.

`releases/<project>-<version>.json.gz` has the objects of its `install.yaml`, one a
line, the schemas of its kinds without descriptions. After a change of versions.py, from
their Go modules::

    python -m local kind keep
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from local.kube import kinds, programs
from local.kube.api import Object
from local.kube.versions import ARGO_CD, ARGO_ROLLOUTS

FOLDER = Path(__file__).with_name("releases")
MODULES = {
    "argo-cd": ("github.com/argoproj/argo-cd/v3", ARGO_CD),
    "argo-rollouts": ("github.com/argoproj/argo-rollouts", ARGO_ROLLOUTS),
}


def objects_of(project: str) -> list[Object]:
    """What is applied to install it."""
    lines = gzip.decompress(_path(project).read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def shipped(project: str) -> Iterator[Object]:
    """The same from its Go module. Raises MissingPart, StackError."""
    manifest = programs.source(*MODULES[project]) / "manifests/install.yaml"
    for document in yaml.safe_load_all(manifest.read_text()):
        if document and document["kind"] == "CustomResourceDefinition":
            yield kinds.without_words(document)
        elif document:
            yield document


def keep() -> Iterator[Path]:
    """Keep those of versions.py in the place of older ones. Raises as `shipped`."""
    for project in MODULES:
        lines = "".join(f"{json.dumps(each)}\n" for each in shipped(project))
        for old in FOLDER.glob(f"{project}-[0-9]*"):
            old.unlink()
        FOLDER.mkdir(exist_ok=True)
        path = _path(project)
        path.write_bytes(gzip.compress(lines.encode(), mtime=0))  # no time: same bytes
        yield path


def _path(project: str) -> Path:
    return FOLDER / f"{project}-{MODULES[project][1]}.json.gz"
