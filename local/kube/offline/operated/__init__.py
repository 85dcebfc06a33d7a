"""What operators would run, as manifests; and how they get a resource's settings."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cache
from pathlib import Path

import yaml

from local.kube import objects
from local.kube.api import Api, Object

HERE = Path(__file__).parent
CHANGED = "once.payments/configuration"  # a pod with another one is rolled


def load(name: str) -> list[Object]:
    """The documents of `<name>.yaml`, in the namespace of all that is ours."""
    documents = copy.deepcopy(_read(name))
    for document in documents:
        document["metadata"]["namespace"] = objects.NAMESPACE
        document["metadata"]["labels"] = dict(objects.MADE_HERE)
    return documents


@cache  # asked for every second, as it was when this process began
def _read(name: str) -> list[Object]:
    return list(yaml.safe_load_all(script(f"{name}.yaml")))


@cache
def script(name: str) -> str:
    """A file that lies beside this one."""
    return (HERE / name).read_text()


def stateful_set(documents: list[Object]) -> Object:
    """The one among them."""
    (found,) = (each for each in documents if each["kind"] == "StatefulSet")
    return found


def rolled_by(stateful: Object, configuration: Object) -> None:
    """Roll its pods, one by one, whenever this ConfigMap changes."""
    said = hashlib.sha256(json.dumps(configuration["data"], sort_keys=True).encode())
    meta = stateful["spec"]["template"]["metadata"]
    meta["annotations"] = {CHANGED: said.hexdigest()[:12]}


def claim(stateful: Object, storage_class: str, size: str) -> None:
    """What its volumes are to be."""
    (template,) = stateful["spec"]["volumeClaimTemplates"]
    template["spec"] |= {
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }


_applied: dict[tuple[str, str], Object] = {}


def apply_changed(api: Api, documents: list[Object]) -> None:
    """Apply those that are not as this process applied them last."""
    for document in documents:
        key = (document["kind"], document["metadata"]["name"])
        if _applied.get(key) != document:
            api.apply(document)
            _applied[key] = document
