"""The kinds of the operators: what a manifest of theirs may say.

`crds/<operator>-<version>.json.gz` has those CustomResourceDefinitions of a release
that we use, one a line, without descriptions: they are no schema, and were most of it.
The files of a newer release replace it; of the same kinds, or of all at first::

    python -m local kind define strimzi-1.2.0 install/cluster-operator/04*-Crd-*.yaml
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("crds")
INNER = ("items", "additionalProperties", "not", "allOf", "anyOf", "oneOf")

Definition = dict[str, Any]


def definitions() -> list[Definition]:
    """Those of every operator, as an API server takes them."""
    return [each for path in sorted(FOLDER.glob("*.json.gz")) for each in _read(path)]


def replace(release: str, paths: Iterable[Path]) -> Path:
    """Keep a release, `<operator>-<version>`, by the files that it ships."""
    operator, _, _ = release.rpartition("-")
    shipped = {each["metadata"]["name"]: each for each in _shipped(paths)}
    older = list(FOLDER.glob(f"{operator}-[0-9]*.json.gz"))
    wanted = [each["metadata"]["name"] for path in older for each in _read(path)]
    taken = [shipped[name] for name in sorted(wanted or shipped)]
    for path in older:
        path.unlink()
    written = FOLDER / f"{release}.json.gz"
    lines = "".join(f"{json.dumps(without_words(each))}\n" for each in taken)
    written.write_bytes(gzip.compress(lines.encode(), mtime=0))  # no time: same bytes
    return written


def without_words(definition: Definition) -> Definition:
    """The same one, its schemas without descriptions."""
    versions = [
        {
            **each,
            "schema": {"openAPIV3Schema": _bare(each["schema"]["openAPIV3Schema"])},
        }
        for each in definition["spec"]["versions"]
    ]
    return {**definition, "spec": {**definition["spec"], "versions": versions}}


def _bare(schema: Any) -> Any:
    """This schema and those in it; what is no schema, as a default, stays as it is."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {name: said for name, said in schema.items() if name != "description"}
    bare |= {name: _bare(bare[name]) for name in INNER if name in bare}
    if "properties" in bare:  # of which one may have the name "description"
        named = bare["properties"].items()
        bare["properties"] = {name: _bare(each) for name, each in named}
    return bare


def _read(path: Path) -> Iterator[Definition]:
    yield from map(json.loads, gzip.decompress(path.read_bytes()).splitlines())


def _shipped(paths: Iterable[Path]) -> Iterator[Definition]:
    for path in paths:
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] == "CustomResourceDefinition":
                yield document
