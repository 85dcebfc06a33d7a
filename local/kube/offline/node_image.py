"""kind's node image, made here: Debian, kind's own scripts, Kubernetes and its images.

What kind's Dockerfile does by cloning and pulling is done from the Go module of kind,
Debian's packages and the programs of versions.py. The images that pods of the cluster
need are already unpacked in it, so that a node needs no registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.kube import programs
from local.kube.offline import foreign_images, rootfs
from local.kube.offline.archive import ENVIRONMENT, Image, pack
from local.kube.offline.engine import Engine
from local.kube.versions import KIND, KUBERNETES
from local.processes import commands
from local.processes.waiting import wait_until

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "containerd", "runc"),
    *("containernetworking-plugins", "conntrack", "iptables", "nftables", "iproute2"),
    *("ethtool", "util-linux", "mount", "kmod", "e2fsprogs", "ca-certificates"),
    *("curl", "jq", "procps", "socat", "hostname"),
)
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
CONTAINERD = ("containerd", "ctr", "containerd-shim-runc-v2")
ENABLED = ("kubelet", "containerd", "undo-mount-hacks")


def ensure(engine: Engine, images: Sequence[Image], notify: programs.Notify) -> str:
    """The name of the node image with these images in it; made when it is missing."""
    said = " ".join(sorted(f"{image}" for image in images))
    said += Path(__file__).read_text() + Path(rootfs.__file__).read_text()
    digest = hashlib.sha256(said.encode()).hexdigest()[:12]
    name = f"once/kind-node:v{KUBERNETES}-{digest}"
    if not engine.docker.has_image(name):
        _make(engine, name, images, notify)
    return name


def _make(
    engine: Engine, name: str, images: Sequence[Image], notify: programs.Notify
) -> None:
    base = rootfs.layer("node", PACKAGES, notify)
    programs.ensure(("kubelet", "kubeadm", "kubectl", "kind"), notify)
    notify("making the node image")
    with tempfile.TemporaryDirectory(dir=base.parent) as scratch:
        tree = Path(scratch) / "root"
        tree.mkdir()
        unpacked = ["tar", "--extract", f"--file={base}", f"--directory={tree}"]
        commands.run([*unpacked, "--xattrs", "--numeric-owner"], "unpacking Debian")
        _lay_out(tree)
        _preload(tree, Path(scratch), images)
        layer = pack(tree, Path(scratch) / "node.tar")
        image = Image(
            name,
            (layer,),
            ("/usr/local/bin/entrypoint", "/sbin/init"),
            environment=(*ENVIRONMENT, "container=docker"),
            extra={"StopSignal": "SIGRTMIN+3"},
        )
        engine.load(image)


def _lay_out(tree: Path) -> None:
    """Everything but the images."""
    source = programs.source("sigs.k8s.io/kind", KIND) / "images/base/files"
    for file in source.rglob("*"):
        if file.is_file():
            target = tree / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            executable = target.parent.name == "bin"
            target.chmod(0o755 if executable else 0o644)
    for program in ("kubelet", "kubeadm", "kubectl"):
        shutil.copyfile(programs.path(program), tree / "usr/bin" / program)
        (tree / "usr/bin" / program).chmod(0o755)
    for program in CONTAINERD:
        (tree / "usr/local/bin" / program).symlink_to(f"/usr/bin/{program}")
    plugins = tree / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for plugin in PLUGINS:
        shutil.copy2(tree / "usr/lib/cni" / plugin, plugins / plugin)
    (tree / "etc/kubernetes/manifests").mkdir(parents=True)
    (tree / "kind/version").write_text(f"v{KUBERNETES}")
    _configure_containerd(tree)
    _configure_systemd(tree)


def _configure_containerd(tree: Path) -> None:
    config = tree / "etc/containerd/config.toml"
    said = config.read_text()
    said = said.replace("registry.k8s.io/pause:3.10", foreign_images.PAUSE)
    # Root in a container may not lower its OOM score where root outside cannot.
    said = said.replace(
        "restrict_oom_score_adj = false", "restrict_oom_score_adj = true"
    )
    config.write_text(said)
    spec = commands.run(["ctr", "oci", "spec"], "ctr oci spec")
    content: dict[str, Any] = json.loads(spec)
    content["process"].pop("rlimits", None)
    (tree / "etc/containerd/cri-base.json").write_text(json.dumps(content))
    unit = tree / "etc/systemd/system/containerd.service"
    unit.write_text(unit.read_text().replace("OOMScoreAdjust=-999", "OOMScoreAdjust=0"))


def _configure_systemd(tree: Path) -> None:
    """As kind's Dockerfile: nothing starts but what a node needs."""
    for wants in ("lib/systemd/system/multi-user.target.wants", "etc/systemd/system"):
        for unit in (tree / wants).glob(
            "*" if wants.endswith("wants") else "*.wants/*"
        ):
            unit.unlink()
    for pattern in (
        "sysinit.target.wants/systemd-tmpfiles-setup.service",
        "local-fs.target.wants/*",
        "sockets.target.wants/*udev*",
        "sockets.target.wants/*initctl*",
        "basic.target.wants/*",
    ):
        for unit in (tree / "lib/systemd/system").glob(pattern):
            unit.unlink()
    units = tree / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    for service in ENABLED:
        link = units / "multi-user.target.wants" / f"{service}.service"
        link.symlink_to(f"/etc/systemd/system/{service}.service")
    (units / "systemd-binfmt.service").symlink_to("/dev/null")
    with (tree / "etc/systemd/journald.conf").open("a") as journal:
        journal.write("ReadKMsg=no\n")
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/hostname").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)


def _preload(tree: Path, scratch: Path, images: Sequence[Image]) -> None:
    """Unpack the images into the tree, by the containerd that will serve them."""
    root, state = tree / "var/lib/containerd", scratch / "state"
    socket, config = scratch / "containerd.sock", scratch / "containerd.toml"
    config.write_text(
        "\n".join(
            (
                "version = 2",
                f'root = "{root}"',
                f'state = "{state}"',
                'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
                f'[grpc]\naddress = "{socket}"',
                f'[ttrpc]\naddress = "{socket}.ttrpc"',
            )
        )
    )
    log = (scratch / "containerd.log").open("wb")
    daemon = subprocess.Popen(
        ["containerd", "--config", config], stdout=log, stderr=log
    )
    client = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]
    try:
        wait_until(socket.exists, what="containerd", timeout_seconds=30)
        for image in images:
            archive = scratch / "loading.tar"
            image.write(archive)
            _ctr(*client, "images", "import", str(archive))
            archive.unlink()
        # Once unpacked, layers are needed no more; images would take twice the room.
        layers = sorted({digest for image in images for digest in image.digests()})
        named = [f"sha256:{layer}" for layer in layers]
        _ctr(*client, "content", "rm", *named)
        blobs = root / "io.containerd.content.v1.content/blobs/sha256"
        for layer in layers:
            (blobs / layer).unlink(missing_ok=True)  # it collects them, but later
    finally:
        daemon.terminate()
        daemon.wait()
        log.close()
    os.sync()


def _ctr(*command: str) -> None:
    commands.run(command, " ".join(command[:7]))
