"""The images of others that the cluster needs, built from their own sources here.

Where a registry can be reached, they are pulled instead: see site.py. The names say
that these were not: all begin with "once/".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from local.kube import programs
from local.kube.offline import archive, rootfs
from local.kube.offline.archive import ENVIRONMENT, Image
from local.kube.versions import (
    ARGO_CD,
    ARGO_ROLLOUTS,
    COREDNS,
    ETCD,
    KUBERNETES,
    PROGRAMS,
)

REPOSITORY = "once"
PAUSE = f"{REPOSITORY}/pause:1"
# Ours for those that the manifests of Argo CD and Argo Rollouts name.
INSTEAD = {
    "quay.io/argoproj/argocd": f"{REPOSITORY}/argocd:v{ARGO_CD}",
    "public.ecr.aws/docker/library/redis": f"{REPOSITORY}/redis:bookworm",
    "quay.io/argoproj/argo-rollouts": f"{REPOSITORY}/argo-rollouts:v{ARGO_ROLLOUTS}",
}
NOBODY = "999"
TOOLS = ("ca-certificates", "git", "gpg", "gpg-agent", "redis-server", "tini")
# One binary under the names by which its parts are called.
ARGO_CD_NAMES = (
    "argocd-server",
    "argocd-repo-server",
    "argocd-cmp-server",
    "argocd-application-controller",
    "argocd-dex",
    "argocd-notifications",
    "argocd-applicationset-controller",
    "argocd-k8s-auth",
    "argocd-commit-server",
)


def control_plane(notify: programs.Notify) -> list[Image]:
    """What kubeadm runs as pods: each image is one static program and nothing else."""
    tags = {
        "kube-apiserver": f"v{KUBERNETES}",
        "kube-controller-manager": f"v{KUBERNETES}",
        "kube-scheduler": f"v{KUBERNETES}",
        "etcd": ETCD,
        "pause": PAUSE.rpartition(":")[2],
    }
    images = [
        _single(name, f"{REPOSITORY}/{name}:{tag}", notify)
        for name, tag in tags.items()
    ]
    dns = _single("coredns", f"{REPOSITORY}/coredns:v{COREDNS}", notify)
    return [*images, dns, _kube_proxy(notify)]


def platform(notify: programs.Notify) -> list[Image]:
    """Argo CD, Argo Rollouts and Redis."""
    return [*_argo_cd(notify), _rollouts(notify)]


def _single(program: str, name: str, notify: programs.Notify) -> Image:
    layer = _programs_layer([program], notify, links={})
    return Image(name, (layer,), (f"/usr/local/bin/{program}",))


def _kube_proxy(notify: programs.Notify) -> Image:
    """It programs the node's packet filter by nft: the one that needs a system."""
    base = rootfs.layer("proxy", ("nftables", "conntrack", "kmod"), notify)
    layer = _programs_layer(["kube-proxy"], notify, links={})
    return Image(f"{REPOSITORY}/kube-proxy:v{KUBERNETES}", (base, layer))


def _argo_cd(notify: programs.Notify) -> list[Image]:
    base = rootfs.layer("tools", TOOLS, notify)
    links = {name: "argocd" for name in ARGO_CD_NAMES}
    layer = _programs_layer(["argocd", "kustomize"], notify, links, _argo_cd_home)
    return [
        Image(
            f"{REPOSITORY}/argocd:v{ARGO_CD}",
            (base, layer),
            ("/usr/local/bin/entrypoint.sh",),
            user=NOBODY,
            environment=(
                *ENVIRONMENT,
                "USER=argocd",
                "HOME=/home/argocd",
            ),
            extra={"WorkingDir": "/home/argocd"},
        ),
        Image(
            f"{REPOSITORY}/redis:bookworm", (base,), ("/usr/bin/redis-server",), NOBODY
        ),
    ]


def _argo_cd_home(tree: Path) -> None:
    """What Argo CD's own Dockerfile lays out."""
    source = programs.source("github.com/argoproj/argo-cd/v3", ARGO_CD)
    for script in (
        "entrypoint.sh",
        "hack/gpg-wrapper.sh",
        "hack/git-verify-wrapper.sh",
    ):
        target = tree / "usr/local/bin" / Path(script).name
        shutil.copyfile(source / script, target)
        target.chmod(0o755)
    for folder in ("home/argocd", "app/config/gpg/source", "app/config/gpg/keys"):
        (tree / folder).mkdir(parents=True)
        shutil.chown(tree / folder, int(NOBODY), 0)
    (tree / "app/config/tls").mkdir()
    (tree / "app/config/ssh").mkdir()
    (tree / "app/config/ssh/ssh_known_hosts").touch()
    (tree / "etc/ssh").mkdir(parents=True)
    (tree / "etc/ssh/ssh_known_hosts").symlink_to("/app/config/ssh/ssh_known_hosts")


def _rollouts(notify: programs.Notify) -> Image:
    layer = _programs_layer(["rollouts-controller"], notify, links={})
    name = f"{REPOSITORY}/argo-rollouts:v{ARGO_ROLLOUTS}"
    return Image(name, (layer,), ("/usr/local/bin/rollouts-controller",), NOBODY)


def _programs_layer(
    names: list[str],
    notify: programs.Notify,
    links: dict[str, str],
    more: Callable[[Path], None] | None = None,
) -> Path:
    """A layer with these programs in /usr/local/bin, and links to them."""
    programs.ensure(names, notify)
    said = "-".join(f"{name}-{PROGRAMS[name].version}" for name in names)

    def make(tree: Path) -> None:
        home = tree / "usr/local/bin"
        home.mkdir(parents=True)
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)
        for name in names:
            shutil.copyfile(programs.path(name), home / name)
            (home / name).chmod(0o755)
        for link, target in links.items():
            (home / link).symlink_to(target)
        if more is not None:
            more(tree)

    return archive.layer(said, make)
