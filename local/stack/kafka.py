"""Three combined KRaft nodes (broker and controller in one) or one."""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from local.processes import commands
from local.processes.files import UMASK, make_folder, replace_file
from local.processes.java import ClassData, Jvm
from local.processes.layout import Layout
from local.processes.process import ManagedProcess, ProcessSpec, kill_after
from local.processes.waiting import Patience, wait_until
from local.stack.endpoints import HOST, broker_names
from local.stack.exposure import Exposure, tls_port
from local.stack.monitored import metrics_port
from local.stack.parts import HERE, Parts

# Fixed, so that a client pointed at another stack by mistake is told apart by nothing
# but its data; each node's directory id is its own.
CLUSTER_ID = "T25jZS1sb2NhbC1zdGFjaw"
READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
LOGGING = HERE / "config" / "log4j2-server.properties"
HEAP_START_MB = 192
HEAP_MAX_MB = 384


@dataclass(frozen=True)
class KafkaConfig:
    """What a broker is started with."""

    layout: Layout
    parts: Parts
    ports: Mapping[str, int]
    brokers: int
    record_classes: bool = False
    full_jit: bool = False
    exposure: Exposure | None = None
    metrics: bool = False

    def server_properties(self, number: int) -> dict[str, object]:
        """The broker's configuration file, as a mapping."""
        name = f"kafka-{number}"
        copies = min(3, self.brokers)
        in_sync = min(2, self.brokers)
        voters = [
            f"{node}@{HOST}:{self.ports[f'kafka-{node}-controller']}"
            for node in range(1, self.brokers + 1)
        ]
        own: dict[str, object] = {
            "node.id": number,
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{self.ports[name]},"
            f"CONTROLLER://{HOST}:{self.ports[f'{name}-controller']}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.ports[name]}",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.layout.data(name) / "log",
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            **_SMALL,
            **_PROMPT,
            **_ACLS,
            **self._reporting(name),
        }
        return {**own, **self._exposed(number, own)}

    def _reporting(self, name: str) -> dict[str, object]:
        """Strimzi's reporter, as its operator sets it up, when somebody scrapes."""
        if not self.metrics:
            return {}
        port = self.ports[metrics_port(name)]
        return {
            **_REPORTER,
            "prometheus.metrics.reporter.listener": f"http://{HOST}:{port}",
        }

    def _exposed(self, number: int, own: dict[str, object]) -> dict[str, object]:
        """What one more listener changes, when there is one."""
        if self.exposure is None:
            return {}
        port = self.ports[tls_port(f"kafka-{number}")]
        added = self.exposure.broker_properties(port)
        for listed in ("listeners", "advertised.listeners"):
            added[listed] = f"{own[listed]},{added[listed]}"
        return added


# Fewer threads, partitions and buffers than the defaults, which expect a machine of
# one's own.
_SMALL: dict[str, object] = {
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 1,
    "group.coordinator.threads": 1,
    "share.coordinator.threads": 1,
    "offsets.topic.num.partitions": 12,
    "transaction.state.log.num.partitions": 12,
    "share.coordinator.state.topic.num.partitions": 3,
    "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
    "remote.log.manager.thread.pool.size": 1,
}
# A group starts at once and a dead member is noticed soon; an open transaction of a
# killed producer is aborted soon after its timeout instead of up to 10 s later. A dead
# broker loses its partitions after 6 s, not 9; started again, it is let in as soon.
# The controllers are patient: on two busy cores 2 s without a fetch mean nothing.
# Who starts first leads all partitions, until this check spreads them again: a client
# sends to one broker one partition after the other, so a transaction waits for each.
_PROMPT: dict[str, object] = {
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "broker.session.timeout.ms": 6000,
    "broker.heartbeat.interval.ms": 1500,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "transaction.max.timeout.ms": 60_000,
    "leader.imbalance.check.interval.seconds": 5,
    "controller.quorum.fetch.timeout.ms": 4000,
    "controller.quorum.election.timeout.ms": 2000,
}
_REPORTER: dict[str, object] = {
    "metric.reporters": "io.strimzi.kafka.metrics.KafkaPrometheusMetricsReporter",
    "kafka.metrics.reporters": (
        "io.strimzi.kafka.metrics.YammerPrometheusMetricsReporter"
    ),
    "prometheus.metrics.reporter.listener.enable": "true",
    "prometheus.metrics.reporter.allowlist": (
        "kafka_controller.*,kafka_server_replicamanager.*,kafka_server_brokertopic.*"
    ),
}
# Everybody on 127.0.0.1 may do everything; the authorizer is there so that
# `kafka-acls` works as it does in production.
_ACLS: dict[str, object] = {
    "authorizer.class.name": (
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    ),
    "super.users": "User:ANONYMOUS",
}


class Kafka:
    """The brokers of one stack."""

    def __init__(self, config: KafkaConfig, patience: Patience) -> None:
        self._config = config
        self._patience = patience
        self.names = broker_names(config.brokers)
        self.bootstrap_servers = ",".join(
            f"{HOST}:{config.ports[name]}" for name in self.names
        )
        self.processes = {name: self._process(name) for name in self.names}

    def start(self) -> None:
        """Format what is new and start every broker; `wait_ready` waits for them."""
        self._write_configuration()
        self._format()
        for process in self.processes.values():
            process.start()

    def wait_ready(self) -> None:
        """Until every broker is registered, unfenced and reachable."""
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0}
        )

        def ready() -> bool:
            for process in self.processes.values():
                process.require_running()
            return len(alive_brokers(admin)) == len(self.names)

        wait_until(
            ready,
            what="Kafka",
            timeout_seconds=READY_TIMEOUT_SECONDS,
            patience=self._patience,
            logs=[process.spec.log for process in self.processes.values()],
        )

    def stop(self) -> None:
        """Stop all brokers cleanly.

        The last ones to go would wait 5 s for a quorum that is gone. A broker that has
        closed its logs says so in a file; after that nothing is lost by killing it.
        """
        for process in self.processes.values():
            process.ask_to_stop()
        kill_after(
            lambda: all(self._is_closed(name) for name in self.names),
            self.processes.values(),
            what="Kafka to stop",
            timeout_seconds=STOP_TIMEOUT_SECONDS,
        )

    def _is_closed(self, name: str) -> bool:
        closed = (self._log_dir(name) / ".kafka_cleanshutdown").exists()
        return closed or not self.processes[name].is_running()

    def _process(self, name: str) -> ManagedProcess:
        layout = self._config.layout
        return ManagedProcess(
            ProcessSpec(
                name=name,
                command=self._java(
                    ClassData(
                        self._config.parts.kafka_classes, self._config.record_classes
                    ),
                    "kafka.Kafka",
                    str(layout.data(name) / "server.properties"),
                ),
                directory=layout.data(name),
                log=layout.log(name),
                pid_file=layout.pid_file(name),
                stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
            )
        )

    def _java(self, class_data: ClassData, *program: str) -> list[str]:
        jvm = Jvm(
            self._config.parts.java,
            self._config.layout.temporary,
            HEAP_START_MB,
            HEAP_MAX_MB,
            class_data,
            quick=not self._config.full_jit,
        )
        return jvm.command(
            {"log4j2.configurationFile": str(LOGGING)},
            "-cp",
            f"{self._config.parts.kafka_jars}/*",
            *program,
        )

    def _write_configuration(self) -> None:
        for number, name in enumerate(self.names, start=1):
            home = self._config.layout.data(name)
            make_folder(home)
            properties = self._config.server_properties(number)
            lines = [f"{key}={value}\n" for key, value in properties.items()]
            replace_file(home / "server.properties", "".join(lines).encode())

    def _format(self) -> None:
        """Format the storage of new nodes.

        Kafka's tool runs once, for the first node; what it writes differs between
        nodes only in two ids, and a JVM costs a second that the start can spare.
        """
        new = [name for name in self.names if not _formatted(self._log_dir(name))]
        if not new:
            return
        first = new[0]
        properties = self._config.layout.data(first) / "server.properties"
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID]
        class_data = ClassData(self._config.parts.kafka_classes)
        command = self._java(class_data, *tool, "--config", str(properties))
        commands.run(command, f"formatting {first}", umask=UMASK)
        for name in new[1:]:
            _copy_format(self._log_dir(first), self._log_dir(name), name)

    def _log_dir(self, name: str) -> Path:
        return self._config.layout.data(name) / "log"


def alive_brokers(admin: AdminClient) -> set[int]:
    """The ids of the brokers that are alive to the cluster; none when none answers."""
    try:
        return set(admin.list_topics(timeout=2.0).brokers)
    except KafkaException:
        return set()


def _formatted(log_dir: Path) -> bool:
    return (log_dir / "meta.properties").exists()


def _copy_format(source: Path, target: Path, name: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    meta = target / "meta.properties"
    replaced = {
        "node.id": name.rpartition("-")[2],
        "directory.id": _kafka_uuid(),
    }
    lines = []
    for line in meta.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={replaced[key]}" if key in replaced else line)
    meta.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _kafka_uuid() -> str:
    """A random id as Kafka writes it: 128 bits in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii")
