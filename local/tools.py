"""Kafka's own console tools, from the same jars, pointed at the running stack.

    bin/kafka-topics --list
    python -m local.tools kafka-console-consumer --topic transfers --from-beginning

Only the standard library is imported: the tool itself starts slowly enough.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.processes.errors import StackError
from local.processes.files import UMASK
from local.processes.java import ClassData, Jvm
from local.processes.layout import (
    Layout,
    classes_path,
    java_path,
    kafka_path,
    read_json,
)

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
STATE_DIR_VARIABLE = "ONCE_STATE_DIR"

# The main class of each tool, and whether it talks to a broker.
TOOLS: Mapping[str, tuple[str, bool]] = {
    "kafka-acls": ("org.apache.kafka.tools.AclCommand", True),
    "kafka-configs": ("kafka.admin.ConfigCommand", True),
    "kafka-console-consumer": (
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        True,
    ),
    "kafka-console-producer": ("org.apache.kafka.tools.ConsoleProducer", True),
    "kafka-consumer-groups": (
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        True,
    ),
    "kafka-dump-log": ("org.apache.kafka.tools.DumpLogSegments", False),
    "kafka-get-offsets": ("org.apache.kafka.tools.GetOffsetShell", True),
    "kafka-metadata-quorum": ("org.apache.kafka.tools.MetadataQuorumCommand", True),
    "kafka-topics": ("org.apache.kafka.tools.TopicCommand", True),
    "kafka-transactions": ("org.apache.kafka.tools.TransactionsCommand", True),
}
WHERE_TO = ("--bootstrap-server", "--bootstrap-controller", "--help", "--version")


def command(tool: str, arguments: Sequence[str], state_dir: Path) -> list[str]:
    """The Java command for `tool`; without --bootstrap-server it means this stack.

    Raises StackError when there is no such tool or no stack was started.
    """
    if tool not in TOOLS:
        raise StackError(f"no tool {tool!r}; there are: {', '.join(TOOLS)}")
    main_class, asks_brokers = TOOLS[tool]
    layout = Layout(state_dir.resolve())
    endpoints = read_json(layout.endpoints_file)
    if not endpoints:
        raise StackError(f"no stack was started under {layout.root}: run 'make up'")
    named = any(each.partition("=")[0] in WHERE_TO for each in arguments)
    target = [] if named else ["--bootstrap-server", endpoints["bootstrap_servers"]]
    jars = Path(endpoints["jars_dir"])
    kafka = kafka_path(jars)
    jvm = Jvm(
        java=java_path(jars),
        temporary=layout.temporary,
        heap_start_mb=32,
        heap_max_mb=256,
        class_data=ClassData(classes_path(kafka)),
        quick=True,
    )
    logging = HERE / "config" / "log4j2-tools.properties"
    return jvm.command(
        {"log4j2.configurationFile": str(logging)},
        "-cp",
        f"{kafka}/*",
        main_class,
        *(target if asks_brokers else []),
        *arguments,
    )


def default_state_dir() -> Path:
    """The checkout's own, wherever the tool is called from."""
    return Path(os.environ.get(STATE_DIR_VARIABLE, REPOSITORY / ".local"))


def main() -> None:
    tool, *arguments = sys.argv[1:] or [""]
    try:
        java = command(tool, arguments, default_state_dir())
    except StackError as error:
        sys.exit(f"{tool}: {error}")
    os.umask(UMASK)
    os.execv(java[0], java)


if __name__ == "__main__":
    main()
