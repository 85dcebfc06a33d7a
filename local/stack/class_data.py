"""Recording the parsed classes of Kafka and the registry, once per machine.

Both are started in a scratch directory and stopped again; what they loaded is written
down as they exit. It takes some seconds and saves more at every start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from local.processes.layout import Layout
from local.processes.ports import choose_ports
from local.processes.process import ManagedProcess
from local.processes.sweep import kill_all
from local.processes.waiting import Patience
from local.processes.watchdog import Watchdog
from local.stack.endpoints import port_names
from local.stack.kafka import Kafka, KafkaConfig
from local.stack.parts import Parts, Staging
from local.stack.registry import Registry


def ensure_class_data(
    parts: Parts, patience: Patience, notify: Callable[[str], None]
) -> None:
    """Make the files that `parts` names where they are missing. Raises Cancelled."""
    if parts.kafka_classes.exists() and parts.registry_classes.exists():
        return
    notify("preparing Java's classes")
    with Staging(parts.kafka_classes) as scratch:
        layout = Layout(scratch)
        layout.create()
        recording = replace(
            parts,
            kafka_classes=scratch / "kafka.jsa",
            registry_classes=scratch / "registry.jsa",
        )
        watchdog = Watchdog(layout)
        watchdog.start()
        try:
            _record(layout, recording, patience)
        finally:
            kill_all(layout)
            watchdog.let_go()
        recording.kafka_classes.replace(parts.kafka_classes)
        recording.registry_classes.replace(parts.registry_classes)


def _record(layout: Layout, parts: Parts, patience: Patience) -> None:
    ports = choose_ports(port_names(1, 1), remembered={})
    kafka = Kafka(KafkaConfig(layout, parts, ports, 1, record_classes=True), patience)
    registry = Registry(
        layout,
        parts,
        ports["registry"],
        ports["registry-management"],
        patience,
        record_classes=True,
    )
    kafka.start()
    registry.start()
    kafka.wait_ready()
    registry.wait_ready()
    processes: list[ManagedProcess] = [*kafka.processes.values(), registry.process]
    for process in processes:
        process.terminate()
    for file in (parts.kafka_classes, parts.registry_classes):
        _require(file)


def _require(file: Path) -> None:
    """An empty file stands for one that could not be made: Java starts without it."""
    file.touch()
