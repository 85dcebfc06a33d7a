"""pgBackRest on a local stack: the archive of WAL, backups, and a ledger beside.

What PGO runs on a cluster, with one repository in a folder. Each server archives for
itself; a backup is taken from the primary. As whoever runs Postgres.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.processes import commands
from local.processes.errors import StackError
from local.processes.layout import Layout
from local.processes.privileges import Servant
from local.stack.parts import require_programs
from local.stack.passwords import SUPERUSER

PROGRAM = "pgbackrest"
STANZA = "ledger"
REPOSITORY = "backups"
CONFIG = "pgbackrest.conf"
# A segment is archived at least so often: what a lost machine may cost.
ARCHIVE_TIMEOUT_SECONDS = 60
SOCKET_PATH_MAX = 90  # the kernel takes 107, and Postgres adds a name


@dataclass(frozen=True)
class Backups:
    """The repository of one stack."""

    layout: Layout
    servant: Servant
    password: str

    @property
    def repository(self) -> Path:
        """Where everything is kept."""
        return self.layout.data(REPOSITORY)

    def parameters(self, home: Path) -> dict[str, str | int]:
        """What a server is told that archives, and that pgBackRest can talk to."""
        archive = f"{PROGRAM} --config={home / CONFIG} --stanza={STANZA}"
        return {
            "archive_mode": "on",
            "archive_command": f'{archive} archive-push "%p"',
            "archive_timeout": ARCHIVE_TIMEOUT_SECONDS,
            "unix_socket_directories": str(home),
        }

    def configure(self, home: Path, data: Path, port: int) -> None:
        """Write what pgBackRest must know of a server. Raises StackError."""
        require_programs("backups", PROGRAM)
        if len(str(home)) > SOCKET_PATH_MAX:
            raise StackError(
                f"{home} is too long for a socket of Postgres ({SOCKET_PATH_MAX} "
                "characters): put the stack's state elsewhere (--state-dir)"
            )
        self.servant.own(self.repository)
        sections = {
            "global": {
                "repo1-path": self.repository,
                "repo1-retention-full": 2,
                "compress-type": "lz4",
                "start-fast": "y",
                "log-level-console": "warn",
                "log-level-file": "off",
                "lock-path": home / "locks",
                "spool-path": home / "spool",
            },
            STANZA: {
                "pg1-path": data,
                "pg1-port": port,
                "pg1-socket-path": home,
                "pg1-user": SUPERUSER,
            },
        }
        self.servant.write(home / CONFIG, _ini(sections).encode())

    def prepare(self, home: Path) -> None:
        """Make the repository ready for this primary. Raises StackError."""
        self._run(home, "stanza-create")
        self._run(home, "check")

    def take(self, home: Path, kind: str) -> None:
        """A backup of the primary there: `full` or `incr`. Raises StackError."""
        self._run(home, "backup", f"--type={kind}")

    def restore(self, home: Path, data: Path, moment: str) -> None:
        """Put the newest backup before `moment` there, to be rolled on to it.

        Another server than the one that `home` is of may hold the data.
        """
        self.servant.own(data)
        self._run(
            home,
            "restore",
            f"--pg1-path={data}",
            "--type=time",
            f"--target={moment}",
            "--target-action=promote",
        )

    def info(self, home: Path) -> list[dict[str, Any]]:
        """What there is, the oldest first, as pgBackRest says it."""
        (stanza,) = json.loads(self._run(home, "info", "--output=json"))
        found: list[dict[str, Any]] = stanza["backup"]
        return found

    def _run(self, home: Path, verb: str, *options: str) -> str:
        """Run it as the servant, who owns what it reads."""
        command = [PROGRAM, f"--config={home / CONFIG}"]
        command += [f"--stanza={STANZA}", *options, verb]
        return commands.run(
            self.servant.command(command),
            f"pgbackrest {verb}",
            directory=home,
            environment={"PGPASSWORD": self.password, "HOME": str(home)},
        )


def _ini(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for name, settings in sections.items():
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in settings.items())]
    return "\n".join([*lines, ""])
