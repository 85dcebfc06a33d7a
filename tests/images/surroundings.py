"""A local stack that containers reach by TLS, and what a cluster would hand to them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import yaml
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo

from local.kube.api import Api, Object
from local.kube.offline.authority import Authority
from local.kube.offline.stand_in_entities import EntityOperator
from local.platform import Platform
from local.stack import Stack, StackConfig
from local.stack.exposure import Exposure
from tests.fix_stack import ROOT
from tests.images.engine import Engine

USERS = ROOT / "strimzi" / "base" / "users.yaml"
KAFKA = {
    "security.protocol": "SSL",
    "ssl.ca.location": "/etc/once/kafka/ca.crt",
    "ssl.certificate.location": "/etc/once/kafka/user.crt",
    "ssl.key.location": "/etc/once/kafka/user.key",
}


class Surroundings:
    """One platform, and the files and settings of those who work on it."""

    def __init__(self, platform: Platform, authority: Authority, folder: Path) -> None:
        self.platform = platform
        self.authority = authority
        self._folder = folder
        self.users = _Users()
        # It gives the rights that the manifests name.
        brokers = platform.stack.endpoints.bootstrap_servers
        admin = AdminClient({"bootstrap.servers": brokers})
        operator = EntityOperator(cast(Api, self.users), admin, authority)
        for user in yaml.safe_load_all(USERS.read_text()):
            user["metadata"] |= {"namespace": "once", "generation": 1}
            operator.reconcile(user)

    @property
    def bootstrap_servers(self) -> str:
        """The brokers as containers reach them."""
        endpoints = self.platform.stack.endpoints
        numbers = range(1, endpoints.brokers + 1)
        ports = [endpoints.ports[f"kafka-{number}-tls"] for number in numbers]
        return ",".join(f"{self._address}:{port}" for port in ports)

    @property
    def registry_url(self) -> str:
        """The registry as everybody reaches it."""
        return self.platform.stack.endpoints.registry_url

    def conninfo(self, role: str) -> str:
        """The ledger as containers reach it; TLS is not in it."""
        stack = self.platform.stack
        ports = stack.endpoints.postgres_ports
        return make_conninfo(
            host=",".join(self._address for _ in ports),
            port=",".join(str(port) for port in ports),
            user=role,
            password=stack.password(role),
            dbname=self.platform.dbname,
            target_session_attrs="read-write",
        )

    def folder(self, name: str, content: Mapping[str, bytes]) -> Path:
        """These files in a folder that any user of a container may read."""
        made = self._folder / name
        made.mkdir(mode=0o755)
        for file, text in content.items():
            (made / file).write_bytes(text)
            (made / file).chmod(0o444)
        return made

    @property
    def _address(self) -> str:
        exposure = self.platform.stack.endpoints.exposure
        assert exposure is not None
        return exposure.address


class _Users:
    """Stands for the API of a cluster: keeps the Secrets that users are given."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, bytes]] = {}

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return None

    def apply(self, made: Object) -> None:
        self.secrets[made["metadata"]["name"]] = {
            key: base64.b64decode(value) for key, value in made["data"].items()
        }


@contextmanager
def surroundings(engine: Engine, folder: Path) -> Iterator[Surroundings]:
    """A stack of its own with empty topics, and nothing in the ledger yet."""
    authority = Authority(folder / "authority")
    authority.write("kafka", engine.address)
    authority.write("ledger", engine.address)
    config = StackConfig(
        state_dir=ROOT / "build" / "images-stack",
        jars_dir=ROOT / ".local" / "jars",
        brokers=1,
        exposure=Exposure(
            address=engine.address,
            network=engine.sources,
            certificates=authority.folder,
            registry=True,
        ),
    )
    if Stack.running(config.state_dir):
        Stack.attach(config.state_dir).stop()  # of a session that was killed
    stack = Stack(config)
    stack.wipe()
    with stack:
        platform = Platform(stack, "", folder)
        platform.create_topics(partitions=6)
        yield Surroundings(platform, authority, folder)
