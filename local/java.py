"""The command line of a JVM that shares two cores with everything else."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Jvm:
    """Which Java, with how much memory."""

    java: Path
    temporary: Path
    heap_start_mb: int
    heap_max_mb: int

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
            *(f"-D{name}={value}" for name, value in properties.items()),
            *program,
        ]
