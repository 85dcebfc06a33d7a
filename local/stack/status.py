"""What a running stack looks like right now: facts for `make status`, no printing."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from local.stack.kafka import alive_brokers
from local.stack.postgres import Member
from local.stack.stack import Stack

ANSWER_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class ProcessStatus:
    """One process; pid and memory are None when it does not run."""

    name: str
    pid: int | None
    port: int
    memory_bytes: int | None


@dataclass(frozen=True)
class KafkaStatus:
    """What the brokers say; the controller is None when no quorum answers."""

    alive: list[int]
    expected: int
    controller: int | None


@dataclass(frozen=True)
class Status:
    """Everything at one moment."""

    processes: list[ProcessStatus]
    kafka: KafkaStatus
    registry_answers: bool
    members: list[Member]

    @property
    def healthy(self) -> bool:
        return (
            all(process.pid is not None for process in self.processes)
            and len(self.kafka.alive) == self.kafka.expected
            and self.kafka.controller is not None
            and self.registry_answers
            and any(member.role == "leader" for member in self.members)
        )


def read_status(stack: Stack) -> Status:
    return Status(
        processes=[_process(stack, name) for name in stack.processes],
        kafka=_kafka(stack),
        registry_answers=stack.registry.is_ready(),
        members=stack.postgres.members(),
    )


def _process(stack: Stack, name: str) -> ProcessStatus:
    process = stack.processes[name]
    pid = process.pid
    return ProcessStatus(
        name=name,
        pid=pid,
        port=stack.endpoints.ports[name],
        memory_bytes=process.memory_bytes() if pid is not None else None,
    )


def _kafka(stack: Stack) -> KafkaStatus:
    expected = stack.endpoints.brokers
    if not any(process.is_running() for process in stack.kafka.processes.values()):
        return KafkaStatus([], expected, None)
    servers = stack.endpoints.bootstrap_servers
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    alive = sorted(alive_brokers(admin))
    try:
        answer = admin.describe_cluster(request_timeout=ANSWER_TIMEOUT_SECONDS).result()
    except KafkaException:
        return KafkaStatus(alive, expected, None)
    controller = answer.controller.id if answer.controller else None
    return KafkaStatus(alive, expected, controller)
