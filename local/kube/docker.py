"""The client of a Docker engine, whoever started it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from local.processes import commands

ANSWER_SECONDS = 20.0


class Docker:
    """How to reach an engine; by default the one that the client would choose."""

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """`environment` is what a client of this engine needs to know."""
        self.environment = environment

    def answers(self) -> bool:
        """Whether there is an engine."""
        if shutil.which("docker") is None:
            return False
        try:
            done = commands.attempt(
                ["docker", "info", "--format", "{{.ServerVersion}}"],
                environment=self.environment,
                timeout_seconds=ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0 and bool(done.stdout.strip())

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run the client; what it prints. Raises StackError where that is checked."""
        command, environment = ["docker", *arguments], self.environment
        if not check:
            return commands.attempt(command, environment=environment).stdout
        what = f"docker {' '.join(arguments[:3])}"
        return commands.run(command, what, environment=environment, stdin=stdin)

    def build(self, name: str, text: str, context: Path) -> None:
        """Build an image by a Dockerfile's text. Raises StackError."""
        arguments = ["docker", "build", "--tag", name, "--file", "-", str(context)]
        # One platform's image and nothing beside it: kind cannot load an index of them.
        alone = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        environment = {**self.environment, **alone}
        commands.run(arguments, "docker build", environment=environment, stdin=text)

    def has_image(self, name: str) -> bool:
        """Whether the engine has it."""
        return bool(self.run("images", "--quiet", name).strip())
