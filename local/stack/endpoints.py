"""Where the parts of a stack listen: what a client needs, without passwords."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from local.processes.errors import StackError
from local.processes.layout import Layout, read_json, write_json
from local.stack.config import StackConfig
from local.stack.exposure import Exposure, tls_port
from local.stack.monitored import SERVERS, Monitoring, exporter, metrics_port

HOST = "127.0.0.1"


class Endpoints(BaseModel):
    """Kept in `stack.json`; the ports in it are used again at the next start."""

    bootstrap_servers: str
    registry_url: str
    postgres_hosts: list[str]
    postgres_ports: list[int]
    etcd_url: str | None
    brokers: int
    postgres: int
    state_dir: Path
    jars_dir: Path
    ports: dict[str, int]
    exposure: Exposure | None = None
    monitoring: Monitoring | None = None
    backups: bool = False

    def save(self, layout: Layout) -> None:
        write_json(layout.endpoints_file, self.model_dump(mode="json"))


def broker_names(count: int) -> list[str]:
    return [f"kafka-{number}" for number in range(1, count + 1)]


def postgres_names(count: int) -> list[str]:
    return [f"postgres-{number}" for number in range(1, count + 1)]


def port_names(
    brokers: int, postgres: int, *, exposed: bool = False, monitored: bool = False
) -> list[str]:
    """Every port a stack of this size listens on."""
    names = ["registry", "registry-management"]
    for broker in broker_names(brokers):
        names += [broker, f"{broker}-controller"]
    names += postgres_names(postgres)
    if postgres > 1:
        names.append("etcd")
        names += [f"{node}-patroni" for node in postgres_names(postgres)]
    if exposed:
        names += [tls_port(broker) for broker in broker_names(brokers)]
    if monitored:
        names += SERVERS
        names += [metrics_port(broker) for broker in broker_names(brokers)]
        names += [exporter(node) for node in postgres_names(postgres)]
    return names


def registry_host(exposure: Exposure | None) -> str:
    """The one address at which the registry listens."""
    return exposure.address if exposure and exposure.registry else HOST


def registry_url(port: int, exposure: Exposure | None) -> str:
    """Its Confluent-compatible API."""
    return f"http://{registry_host(exposure)}:{port}/apis/ccompat/v7"


def make_endpoints(
    config: StackConfig, *, layout: Layout, ports: Mapping[str, int]
) -> Endpoints:
    """Those of a stack with these ports."""
    nodes = postgres_names(config.postgres)
    return Endpoints(
        bootstrap_servers=",".join(
            f"{HOST}:{ports[name]}" for name in broker_names(config.brokers)
        ),
        registry_url=registry_url(ports["registry"], config.exposure),
        postgres_hosts=[HOST for _ in nodes],
        postgres_ports=[ports[node] for node in nodes],
        etcd_url=f"https://{HOST}:{ports['etcd']}" if config.postgres > 1 else None,
        brokers=config.brokers,
        postgres=config.postgres,
        state_dir=layout.root,
        jars_dir=config.jars_dir.resolve(),
        ports=dict(ports),
        exposure=config.exposure,
        monitoring=config.monitoring,
        backups=config.backups,
    )


def load_endpoints(layout: Layout) -> Endpoints:
    """Raises StackError when no stack was ever started here."""
    content = read_json(layout.endpoints_file)
    if not content:
        raise StackError(f"no stack was started under {layout.root}: run 'make up'")
    return Endpoints.model_validate(content)


def remembered_ports(layout: Layout) -> Mapping[str, int]:
    ports = read_json(layout.endpoints_file).get("ports", {})
    return ports if isinstance(ports, dict) else {}
