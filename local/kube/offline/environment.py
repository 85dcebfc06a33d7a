"""A cluster of what was built on this machine, with a stand-in for its operators."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.kube import kinds
from local.kube.environment import VARIABLE, Additions, Kubectl
from local.kube.objects import NAMESPACE
from local.kube.offline import (
    data_images,
    foreign_images,
    network,
    node_image,
    own_base,
    pods,
    volumes,
)
from local.kube.offline.engine import Engine
from local.kube.programs import Notify
from local.kube.steps import step
from local.kube.versions import COREDNS, ETCD
from local.processes.process import ManagedProcess, ProcessSpec
from local.stack import StackConfig

API_PORT = 6443  # kind looks for a free one in a namespace that is not the engine's


class Offline:
    """An engine of our own, which can pull nothing."""

    name = "kind-offline"
    how = f"set {VARIABLE}=1"
    address = network.INSIDE
    images: Mapping[str, str] = foreign_images.INSTEAD

    def __init__(self, folder: Path) -> None:
        self.state = folder.resolve() / self.name
        self.stand_in = ManagedProcess(
            ProcessSpec(
                name="stand-in",
                command=network.enter_by_name(
                    sys.executable,
                    "-m",
                    "local.kube.offline.stand_in",
                    str(self.state),
                ),
                directory=Path.cwd(),
                log=self.state / "stand-in.log",
                pid_file=self.state / "stand-in.json",
            )
        )
        self._engine = Engine(self.state)
        self.docker = self._engine.docker

    def start_engine(self) -> None:
        """Start it, unless it runs. Raises StackError, MissingPart."""
        self._engine.start()

    def engine_runs(self) -> bool:
        """Whether it does."""
        return self._engine.is_running()

    def reach_leftovers(self) -> bool:
        """Killed, it could not take its containers along: then it is started again."""
        if self._engine.left_containers():
            self._engine.start()
        return self._engine.is_running()

    def stop_engine(self) -> None:
        """Stop it, with all it runs."""
        self._engine.stop()

    def node_image(self, notify: Notify) -> str:
        """With all images of others in it."""
        images = [
            *foreign_images.control_plane(notify),
            *foreign_images.platform(notify),
            *data_images.images(StackConfig.jars_dir, notify),
        ]
        return node_image.ensure(self._engine, images, notify)

    def dockerfile(
        self, text: str, notify: Notify, base: own_base.Base = own_base.PYTHON
    ) -> str:
        """On a base of ours, which is made when it is missing."""
        own_base.ensure(self._engine, base, notify)
        return own_base.rebased(text, base)

    def additions(self, node_image: str | None) -> Additions:
        """Our images, and no network plug-in: kind's own is an image, too."""
        return Additions(
            node={"image": node_image},
            networking={"disableDefaultCNI": True, "apiServerPort": API_PORT},
            cluster={
                "imageRepository": foreign_images.REPOSITORY,
                "etcd": {"local": {"imageTag": ETCD}},
                "dns": {"imageTag": f"v{COREDNS}"},
            },
        )

    def enter(self, command: list[str]) -> list[str]:
        """In the engine's network namespace."""
        return network.enter(*command)

    def after_create(self, cluster: Kubectl) -> None:
        """The network of pods, and their disks."""
        pods.connect(cluster)
        pods.settle_names(cluster)
        volumes.offer(cluster)

    def after_start(self, cluster: Kubectl) -> None:
        """Its routes died with it."""
        pods.connect(cluster)

    @contextmanager
    def reach(self, cluster: Kubectl, service: str, port: int) -> Iterator[str]:
        """By its own address: network.py has made a way."""
        found = cluster.get("service", service, "--namespace", NAMESPACE)
        yield f"{found['spec']['clusterIP']}:{port}"

    def start_beside(self, cluster: Kubectl) -> None:
        """Who stands in for the operators and knows their kinds."""
        with step("the stand-in for the operators"):
            cluster.apply(*kinds.definitions())
            if not self.stand_in.is_running():
                self.stand_in.start()

    def stop_beside(self) -> None:
        """It goes; what it made goes with the cluster."""
        self.stand_in.terminate()
