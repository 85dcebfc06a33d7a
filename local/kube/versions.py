"""Every version that the local cluster is made of, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Modules whose own go.mod has replacements cannot be installed by `go install`: these
# folders pin them, checksums included, and hold nothing else.
MODULES = Path(__file__).parent / "go"

KUBERNETES = "1.37.2"
ARGO_CD = "3.2.11"
ARGO_ROLLOUTS = "1.10.1"
ETCD = "3.6.16"
COREDNS = "1.14.7"
KIND = "0.33.0"
KUSTOMIZE = "5.8.2"


@dataclass(frozen=True)
class Program:
    """One command, built from a Go module at a version."""

    name: str
    version: str
    package: str
    module: str = ""  # a folder under MODULES; empty: the package's own go.mod will do
    flags: str = ""  # for the linker


def _kubernetes(name: str) -> Program:
    major, minor, _ = KUBERNETES.split(".")
    said = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    flags = [
        f"-X {package}.{variable}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable, value in said.items()
    ]
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program(name, KUBERNETES, package, "kubernetes", " ".join(flags))


PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", ETCD, "go.etcd.io/etcd/server/v3", "etcd"),
        *map(
            _kubernetes,
            (
                "kubectl",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kube-proxy",
                "kubelet",
                "kubeadm",
            ),
        ),
        Program("pause", "1", "once/tools/pause", "pause"),
        Program("kustomize", KUSTOMIZE, "sigs.k8s.io/kustomize/kustomize/v5"),
        Program("kind", KIND, "sigs.k8s.io/kind"),
        Program("coredns", COREDNS, "github.com/coredns/coredns"),
        Program("argocd", ARGO_CD, "github.com/argoproj/argo-cd/v3/cmd", "argo-cd"),
        Program(
            "rollouts-controller",
            ARGO_ROLLOUTS,
            "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
            "argo-rollouts",
        ),
    )
}
