"""A real API server, with the real CRDs, judges every object that we render."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import Any

import pytest

from local.kube.offline.control_plane import ControlPlane
from tests.manifests.overlays import (
    ENVIRONMENTS,
    OVERLAYS,
    Object,
    Overlay,
    environment,
    kinds,
    listed,
    renderings,
)
from tests.manifests.planting import REMOVED, find, put
from tests.manifests.pods import Pod, pods

DRY = ("--dry-run=server", "--validate=strict", "-f", "-")
NAMESPACE = "once"
# What Kubernetes lets every account do: ask who it is, and read public certificates.
EVERYBODYS = {
    "clustertrustbundles.certificates.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
}

Done = subprocess.CompletedProcess[str]


def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> Done:
    """Run kubectl, whose memory of the API is this server's own."""
    cache = f"--cache-dir={plane.folder}/kubectl"
    return plane.kubectl(cache, *arguments, stdin=stdin)


def apply(plane: ControlPlane, text: str) -> Done:
    """Apply without effect, as Argo CD would: by the server, and strictly."""
    return kubectl(plane, "apply", "--server-side", *DRY, stdin=text)


def pod_of(pod: Pod, number: int = 0) -> Object:
    """A pod as its controller would make it."""
    name = f"{pod.owner['metadata']['name']}-{pod.owner['kind'].lower()}-{number}"
    meta = {"name": name, "namespace": NAMESPACE, "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod.spec}


def production(name: str) -> Object:
    """An object of production, to be spoilt."""
    return copy.deepcopy(find(environment("production"), name))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=str)
def test_an_overlay_renders(overlay: Overlay) -> None:
    made = renderings()[overlay]
    assert made.error == ""
    assert made.text


@pytest.mark.parametrize("overlay", OVERLAYS, ids=str)
def test_the_server_accepts_an_overlay(plane: ControlPlane, overlay: Overlay) -> None:
    done = apply(plane, renderings()[overlay].text)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_pod_is_admitted_to_the_restricted_namespace(
    plane: ControlPlane, name: str
) -> None:
    made = [p for p in pods(environment(name)) if p.namespace == NAMESPACE]
    asked = [pod_of(pod, number) for number, pod in enumerate(made)]
    assert len(asked) >= len(("store", "smoke", "bank", "migrate", "audit", "registry"))
    done = kubectl(plane, "create", *DRY, stdin=listed(asked))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == len(asked)


@pytest.mark.parametrize(
    ("name", "way", "value", "said"),
    [
        ("Rollout/store", "spec.replica", 2, "field not declared in schema"),
        ("Deployment/bank", "spec.replica", 2, "field not declared in schema"),
        ("Kafka/once", "spec.kafka.listener", [], "field not declared in schema"),
        ("PostgresCluster/ledger", "spec.instances.0.replica", 3, "not declared"),
        ("NetworkPolicy/deny-all", "spec.podSelectors", {}, "not declared"),
        ("Application/bank", "spec.sources.path", "x", "expected list"),
        ("Deployment/bank", "spec.minReadySeconds", "soon", "minReadySeconds"),
        ("KafkaTopic/transfers", "spec.partitions", "many", "partitions"),
        ("Gateway/once", "spec.listeners.0.port", 443000, "65535"),
        (
            "BackendTrafficPolicy/store",
            "spec.timeout.http.connectionIdleTimeout",
            "soon",
            "connectionIdleTimeout",
        ),
        ("ClientTrafficPolicy/once", "spec.timeout.http.idle", "1s", "not declared"),
        ("PodDisruptionBudget/bank", "spec.minAvailable", 1, "cannot be both set"),
        ("KafkaNodePool/broker", "spec.roles", ["boss"], "Unsupported value"),
        ("CronJob/audit", "spec.schedule", "at night", "spec.schedule"),
    ],
)
def test_a_spoilt_object_is_refused(
    plane: ControlPlane, name: str, way: str, value: Any, said: str
) -> None:
    spoilt = production(name)
    put(spoilt, way, value)
    done = apply(plane, listed([spoilt]))
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("Deployment/bank", "apps/v1beta2"),
        ("Kafka/once", "kafka.strimzi.io/v1beta2"),
        ("Certificate/store-tls", "cert-manager.io/v1alpha2"),
        ("HTTPRoute/store", "gateway.networking.k8s.io/v1alpha2"),
    ],
)
def test_an_old_version_of_a_kind_is_unknown(
    plane: ControlPlane, name: str, old: str
) -> None:
    spoilt = production(name)
    path = f"namespaces/{NAMESPACE}/{spoilt['kind'].lower()}s?dryRun=All"
    for version, known in ((spoilt["apiVersion"], True), (old, False)):
        text = json.dumps({**spoilt, "apiVersion": version})
        raw = ("create", f"--raw=/apis/{version}/{path}", "-f", "-")
        done = kubectl(plane, *raw, stdin=text)
        assert (done.returncode == 0) is known, done.stderr


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("containers.0.securityContext.privileged", True, "privileged"),
        ("containers.0.securityContext.allowPrivilegeEscalation", REMOVED, "allowPri"),
        ("containers.0.securityContext.capabilities", REMOVED, "capabilities"),
        ("securityContext.seccompProfile", REMOVED, "seccompProfile"),
        ("securityContext.runAsNonRoot", REMOVED, "runAsNonRoot"),
        ("securityContext.runAsUser", 0, "runAsUser=0"),
        ("hostNetwork", True, "host namespaces"),
        ("volumes.0", {"name": "tmp", "hostPath": {"path": "/"}}, "hostPath"),
        ("priorityClassName", "once-first", "no PriorityClass"),
        ("containers.0.imagePullPolic", "Always", "unknown field"),
        ("containers.0.resources.requests.memory", "2Ti", "memory limit"),
    ],
)
def test_a_spoilt_pod_is_not_admitted(
    plane: ControlPlane, way: str, value: Any, said: str
) -> None:
    (bank,) = pods([production("Deployment/bank")])
    asked = pod_of(bank)
    put(asked, f"spec.{way}", value)
    done = kubectl(plane, "create", *DRY, stdin=listed([asked]))
    assert done.returncode != 0
    assert said in done.stderr


def as_account(name: str) -> list[str]:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
    user = f"--as=system:serviceaccount:{NAMESPACE}:{name}"
    return [user, *(f"--as-group={g}" for g in (*groups, "system:authenticated"))]


def rights(plane: ControlPlane, *who: str) -> set[str]:
    """The resources that somebody may do anything with, in our namespace."""
    listing = ("auth", "can-i", "--list", "--no-headers", "--namespace", NAMESPACE)
    done = kubectl(plane, *listing, *who)
    assert done.returncode == 0, done.stderr
    return {line.split()[0] for line in done.stdout.splitlines() if line[0] != " "}


def test_our_accounts_may_do_nothing(plane: ControlPlane) -> None:
    accounts = kinds(environment("production"), "ServiceAccount")
    names = [each["metadata"]["name"] for each in accounts]
    assert {"store", "bank", "bank-setup", "registry", "audit"} <= {*names}
    for name in names:
        assert rights(plane, *as_account(name)) <= EVERYBODYS, name


def test_a_subject_without_rights_is_refused(plane: ControlPlane) -> None:
    text = listed([production("Deployment/bank")])
    for who in (["--as=mallory"], as_account("store")):
        done = kubectl(plane, "get", "secrets", "--namespace", NAMESPACE, *who)
        assert "(Forbidden)" in done.stderr
        done = kubectl(plane, "create", *DRY, *who, stdin=text)
        assert "(Forbidden)" in done.stderr


def test_a_right_that_was_given_is_seen(plane: ControlPlane) -> None:
    space = ("--namespace", NAMESPACE)
    role = ("role", "peeker", "--verb=get", "--resource=secrets")
    binding = ("rolebinding", "peeker", "--role=peeker", "--user=eve")
    for made in (role, binding):
        assert kubectl(plane, "create", *made, *space).returncode == 0
    assert "secrets" in rights(plane, "--as=eve")


def test_the_namespace_enforces_what_the_pods_are_judged_by(
    plane: ControlPlane,
) -> None:
    done = kubectl(plane, "get", "namespace", NAMESPACE, "-o", "json")
    labels = json.loads(done.stdout)["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "latest"


def test_every_environment_has_the_same_parts() -> None:
    parts: dict[str, set[str]] = {name: set() for name in ENVIRONMENTS}
    for overlay in OVERLAYS:
        parts[overlay.environment].add(str(overlay.path.parent))
    assert parts["dev"] == parts["test"] == parts["production"]
    assert parts["kind"] == parts["kind-offline"]
    brought = {"argocd/secrets/overlays"}  # a laptop's secrets are generated
    assert parts["production"] - parts["kind"] == brought
