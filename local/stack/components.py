"""What a stack consists of, composed of a config, found parts and chosen ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local.processes.layout import Layout
from local.processes.privileges import (
    Servant,
    make_servant,
    python_files,
    python_folders,
)
from local.processes.process import ManagedProcess
from local.processes.waiting import Patience
from local.stack.apicurio import Apicurio, ApicurioConfig
from local.stack.backups import Backups
from local.stack.config import StackConfig
from local.stack.endpoints import Endpoints, make_endpoints
from local.stack.etcd import Etcd, EtcdConfig
from local.stack.kafka import Kafka, KafkaConfig
from local.stack.monitoring.servers import MonitoringConfig, MonitoringServers
from local.stack.part import Part
from local.stack.parts import Parts
from local.stack.passwords import SUPERUSER, load_passwords
from local.stack.patroni import PatroniCluster
from local.stack.postgres import PlainServer, Postgres, PostgresConfig


@dataclass(frozen=True)
class Components:
    """The parts of one stack, and what is known of it as a whole."""

    parts: Parts
    endpoints: Endpoints
    postgres_config: PostgresConfig
    kafka: Kafka
    registry: Apicurio
    etcd: Etcd | None
    postgres: Postgres
    monitoring: MonitoringServers | None

    @property
    def by_name(self) -> dict[str, Part]:
        """Every part; what others need comes before them."""
        etcd: dict[str, Part] = {"etcd": self.etcd} if self.etcd else {}
        parts: dict[str, Part] = {"kafka": self.kafka, "registry": self.registry}
        found = {**parts, **etcd, "postgres": self.postgres}
        if self.monitoring:
            found["monitoring"] = self.monitoring
        return found

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """By name, of all parts."""
        return {
            name: process
            for part in self.by_name.values()
            for name, process in part.processes.items()
        }


def compose(
    config: StackConfig,
    layout: Layout,
    parts: Parts,
    ports: Mapping[str, int],
    patience: Patience,
) -> Components:
    """Nothing is started. Raises MissingPart when nobody may run Postgres."""
    servant = _servant(layout)
    passwords = load_passwords(layout)
    kafka = KafkaConfig(
        layout=layout,
        parts=parts,
        ports=ports,
        brokers=config.brokers,
        full_jit=config.full_jit,
        exposure=config.exposure,
        metrics=config.monitoring is not None,
    )
    registry = ApicurioConfig(
        layout=layout,
        parts=parts,
        port=ports["registry"],
        management_port=ports["registry-management"],
        exposure=config.exposure,
    )
    postgres = PostgresConfig(
        layout=layout,
        parts=parts,
        servant=servant,
        ports=ports,
        passwords=passwords,
        nodes=config.postgres,
        exposure=config.exposure,
        backups=(
            Backups(layout, servant, passwords[SUPERUSER]) if config.backups else None
        ),
    )
    etcd: Etcd | None = None
    if config.postgres > 1:
        etcd = Etcd(EtcdConfig(layout, parts, servant, ports["etcd"]), patience)
    kind = PatroniCluster if etcd else PlainServer
    return Components(
        parts=parts,
        endpoints=make_endpoints(config, layout=layout, ports=ports),
        postgres_config=postgres,
        kafka=Kafka(kafka, patience),
        registry=Apicurio(registry, patience),
        etcd=etcd,
        postgres=kind(postgres, patience),
        monitoring=_monitoring(config, postgres, patience),
    )


def _monitoring(
    config: StackConfig, postgres: PostgresConfig, patience: Patience
) -> MonitoringServers | None:
    if config.monitoring is None:
        return None
    asked = MonitoringConfig(
        layout=postgres.layout,
        servant=postgres.servant,
        ports=postgres.ports,
        passwords=postgres.passwords,
        brokers=config.brokers,
        postgres=config.postgres,
        asked=config.monitoring,
    )
    return MonitoringServers(asked, patience)


def _servant(layout: Layout) -> Servant:
    """Whom to run Postgres, Patroni and etcd as."""
    return make_servant(
        [layout.root, layout.all_data],
        [layout.all_data, *python_folders()],
        python_files(),
    )
