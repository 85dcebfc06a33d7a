"""The command line of a JVM that shares two cores with everything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClassData:
    """A file of parsed classes: halves the CPU that a start of Kafka costs.

    Read when it is there, written by a process that is told to `record`.
    """

    file: Path
    record: bool = False

    def options(self) -> list[str]:
        if self.record:
            return [f"-XX:ArchiveClassesAtExit={self.file}", *_QUIET]
        # A missing or outdated file is not an error: Java starts without it.
        return [f"-XX:SharedArchiveFile={self.file}", "-Xshare:auto", *_QUIET]


_QUIET = ["-Xlog:disable", "-Xlog:all=error:stderr"]


@dataclass(frozen=True)
class Jvm:
    """Which Java, with how much memory."""

    java: Path
    temporary: Path
    heap_start_mb: int
    heap_max_mb: int
    class_data: ClassData
    # Compile fast instead of well: for programs that are short or idle.
    quick: bool = False

    def command(self, properties: dict[str, str], *program: str) -> list[str]:
        """`program` is a main class with its arguments, or `-jar` with a path."""
        return [
            str(self.java),
            f"-Xms{self.heap_start_mb}m",
            f"-Xmx{self.heap_max_mb}m",
            # The least CPU per byte for a small heap; its pauses stay in the low
            # milliseconds because the heap is small.
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            # No files outside the state directory: not /tmp/hsperfdata_*, no
            # unpacked native libraries left in /tmp by a kill.
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self.temporary}",
            "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=true",
            *(["-XX:TieredStopAtLevel=1"] if self.quick else []),
            *self.class_data.options(),
            *(f"-D{name}={value}" for name, value in properties.items()),
            *program,
        ]
