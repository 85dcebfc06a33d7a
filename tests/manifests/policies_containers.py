"""What every container and every pod of ours must say of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.manifests.overlays import Object, dig
from tests.manifests.pods import Pod, bounds_missing, pods

OURS = re.compile(r"(^|/)once(-platform)?/(once-)?(store|bank)([:@]|$)")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
TAG = re.compile(r"^[^@]+:[\w][\w.-]*$")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# Apicurio reads its user and password from the environment and nowhere else.
SECRETS_IN_ENVIRONMENT = {("Deployment/registry", "ledger-pguser-registry")}


def images_have_a_tag_that_stays(objects: list[Object]) -> list[str]:
    """No latest, and nothing without tag and digest."""
    return [
        f"{where}: give image {image} a tag or a digest that stays"
        for where, image in _images(objects)
        if not DIGEST.search(image)
        if not TAG.match(image) or image.endswith(":latest")
    ]


def our_images_have_a_digest(objects: list[Object]) -> list[str]:
    """A tag can be moved; what runs beyond a laptop cannot."""
    return [
        f"{where}: name image {image} by its digest"
        for where, image in _images(objects)
        if OURS.search(image) and not DIGEST.search(image)
    ]


def containers_are_bounded(objects: list[Object]) -> list[str]:
    """Requests and limits, for processor and memory."""
    return bounds_missing(_containers(objects))


def long_running_containers_are_probed(objects: list[Object]) -> list[str]:
    """All three probes where a pod is meant to stay."""
    return [
        f"{pod.name}: container {container['name']}: add a {probe}"
        for pod in pods(objects)
        if pod.is_long_running
        for container in pod.spec["containers"]
        for probe in PROBES
        if probe not in container
    ]


def containers_are_locked(objects: list[Object]) -> list[str]:
    """Nothing to write to, no capability, no way to more."""
    return [
        f"{where}: {remedy}"
        for where, container in _containers(objects)
        for remedy in _unlocked(container.get("securityContext", {}))
    ]


def users_are_numbers_and_not_root(objects: list[Object]) -> list[str]:
    """A name could be anybody: only a number shows the kubelet that it is not root."""
    found = []
    for pod in pods(objects):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True:
            found.append(f"{pod.name}: set runAsNonRoot")
        if not _is_user(context.get("runAsUser")):
            found.append(f"{pod.name}: set runAsUser to a number that is not 0")
        found += [
            f"{pod.name}: container {container['name']}: do not run as root"
            for container in pod.containers
            if not _is_user(dig(container, "securityContext", "runAsUser") or 1)
            or dig(container, "securityContext", "runAsNonRoot") is False
        ]
    return found


def seccomp_is_on(objects: list[Object]) -> list[str]:
    """The runtime's own profile, for the whole pod."""
    return [
        f"{pod.name}: set seccompProfile RuntimeDefault"
        for pod in pods(objects)
        if dig(pod.spec, "securityContext", "seccompProfile", "type")
        != "RuntimeDefault"
        or any(
            dig(container, "securityContext", "seccompProfile")
            for container in pod.containers
        )
    ]


def secrets_are_files(objects: list[Object]) -> list[str]:
    """An environment is printed by whoever reports a crash; a file is not."""
    return [
        f"{pod.name}: container {container['name']}: mount Secret {secret} as a file"
        for pod in pods(objects)
        for container in pod.containers
        for secret in _environment_secrets(container)
        if (pod.name, secret) not in SECRETS_IN_ENVIRONMENT
    ]


def scratch_space_is_bounded(objects: list[Object]) -> list[str]:
    """An emptyDir without a limit can fill its node's disk."""
    return [
        f"{pod.name}: volume {volume['name']}: set sizeLimit"
        for pod in pods(objects)
        for volume in pod.spec.get("volumes", [])
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit")
    ]


def _containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for pod in pods(objects):
        for container in pod.containers:
            yield _where(pod, container), container


def _images(objects: list[Object]) -> Iterator[tuple[str, str]]:
    for where, container in _containers(objects):
        yield where, str(container.get("image", ""))


def _where(pod: Pod, container: Object) -> str:
    return f"{pod.name}: container {container['name']}"


def _unlocked(context: Object) -> Iterator[str]:
    if context.get("readOnlyRootFilesystem") is not True:
        yield "set readOnlyRootFilesystem"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "forbid allowPrivilegeEscalation"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "drop ALL capabilities and add none"
    if context.get("privileged"):
        yield "do not run privileged"


def _is_user(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _environment_secrets(container: Object) -> Iterator[str]:
    for variable in container.get("env", []):
        reference = dig(variable, "valueFrom", "secretKeyRef")
        if reference:
            yield str(reference["name"])
    for source in container.get("envFrom", []):
        if "secretRef" in source:
            yield str(source["secretRef"]["name"])
