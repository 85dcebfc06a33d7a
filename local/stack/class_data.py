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
from local.processes.sweep import kill_all
from local.processes.waiting import Patience
from local.processes.watchdog import Watchdog
from local.stack.apicurio import Apicurio, ApicurioConfig
from local.stack.endpoints import port_names
from local.stack.kafka import Kafka, KafkaConfig
from local.stack.part import Part
from local.stack.parts import Parts, Staging


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
    registry = ApicurioConfig(
        layout=layout,
        parts=parts,
        port=ports["registry"],
        management_port=ports["registry-management"],
        record_classes=True,
    )
    kafka = KafkaConfig(layout, parts, ports, brokers=1, record_classes=True)
    recorded: list[Part] = [Kafka(kafka, patience), Apicurio(registry, patience)]
    for part in recorded:
        part.start()
    for part in recorded:
        part.wait_ready()
    for part in recorded:  # not `stop`, which may kill: Java writes as it exits
        for process in part.processes.values():
            process.terminate()
    for file in (parts.kafka_classes, parts.registry_classes):
        _require(file)


def _require(file: Path) -> None:
    """An empty file stands for one that could not be made: Java starts without it."""
    file.touch()
