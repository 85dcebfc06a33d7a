"""The samples of examples/ as programs of their own, and what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PYTHON = [sys.executable, str(EXAMPLES / "python" / "pay.py")]
# What examples/java/pom.xml asks for, among the jars of the local stack.
JARS = (
    "kafka/kafka-clients-*.jar",
    "kafka/lz4-java-*.jar",
    "kafka/slf4j-api-*.jar",
    "kafka/jackson-annotations-*.jar",
    "kafka/jackson-core-*.jar",
    "kafka/jackson-databind-*.jar",
    "registry/lib/main/org.apache.avro.avro-*.jar",
)
POSTED, NOT_PAID, NOT_KNOWN = 0, 1, 75
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Said:
    """What a run of a sample said, and its exit status."""

    status: int
    text: str

    @property
    def last(self) -> str:
        """The verdict, or that none is known."""
        return self.text.splitlines()[-1]

    @property
    def transfer_id(self) -> UUID:
        """The id that was kept."""
        return UUID(self._found(r"(?m)^transfer_id (\S+), kept in "))

    @property
    def partition(self) -> int:
        """Where the record went."""
        return int(self._found(r"(?m)^acknowledged: \S+\[(\d+)\]@\d+$"))

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.text)
        assert found is not None, self.text
        return found[1]


@dataclass(frozen=True)
class Sample:
    """A sample, and where it is to send."""

    command: list[str]
    environment: dict[str, str]

    def pay(self, *arguments: object, **environment: str) -> Said:
        """Run it once."""
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        for word in ("Traceback", 'Exception in thread "main"'):
            assert word not in done.stderr, done.stderr
        assert done.stdout, done.stderr
        return Said(done.returncode, done.stdout)


def compiled(jars_dir: Path, classes: Path) -> list[str]:
    """The command of the Java sample, compiled as its pom.xml says."""
    if shutil.which("javac") is None:
        pytest.skip("no javac on this machine: the Java sample was not compiled")
    jars = [str(jar) for pattern in JARS for jar in jars_dir.glob(pattern)]
    assert len(jars) == len(JARS), jars
    path = os.pathsep.join([str(classes), *jars])
    options = ["--release", "11", "-d", str(classes), "-cp", path]
    source = str(EXAMPLES / "java" / "Pay.java")
    subprocess.run(["javac", *options, source], check=True)
    return ["java", "-cp", path, "Pay"]
