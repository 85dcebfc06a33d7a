"""Running Postgres, Patroni and etcd without root's rights when root starts the stack.

Postgres refuses to run as root, for good reason. As root we hand these processes to
the user `postgres` (or `nobody`) with `setpriv`, without any capability; as anyone else
they run as that user.

They must get to their data, and Patroni to its Python, which may lie where only root
may enter (/root, a private temporary folder). Then they get a mount namespace in which
such a place is empty but for the folders that they need: they see these, under their
own names, and nothing else that is root's.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from local.processes import commands
from local.processes.errors import MissingPart
from local.processes.files import Owner, make_folder, replace_file

PREFERRED_USERS = ("postgres", "nobody")
PASS_THROUGH = 0o710  # the servant's group may pass, and see nothing
_FIRST_DESCRIPTOR = 3

# Says which of its arguments cannot be entered, or read.
_PROBE = """
for p; do if [ -d "$p" ]; then [ -x "$p" ]; else [ -r "$p" ]; fi || echo "$p"; done
"""


@dataclass(frozen=True)
class Servant:
    """The user that database processes run as; None = the user we are."""

    user: str | None
    uid: int
    gid: int
    # Folders that it needs and that lie behind others which it may not enter.
    shown: tuple[Path, ...] = ()

    def command(self, command: list[str]) -> list[str]:
        """`command`, to be executed as this user, under the same pid."""
        if self.user is None:
            return command
        prefix = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}"]
        prefix += ["--clear-groups", "--inh-caps=-all", "--no-new-privs"]
        return [*self._window(), *prefix, "--", *command]

    def own(self, path: Path) -> None:
        """Make `path`, a folder of ours until now, this user's alone."""
        make_folder(path, owner=self._owner)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of this user's, in a folder of this user's."""
        replace_file(path, content, owner=self._owner)

    def let_pass(self, path: Path) -> None:
        """Let this user pass a folder of ours on the way to its own."""
        if self.user is None:
            make_folder(path)
        else:
            # Whose it is stays: root may work in somebody's checkout.
            make_folder(path, mode=PASS_THROUGH, owner=Owner(-1, self.gid))

    @property
    def _owner(self) -> Owner | None:
        return None if self.user is None else Owner(self.uid, self.gid)

    def _window(self) -> list[str]:
        """What shows `shown` behind folders that are closed to this user."""
        if not self.shown:
            return []
        closed = {path: _closed(path, self) for path in self.shown}
        lines = ["umask 022"]
        # Taken hold of before anything is covered.
        for number, path in enumerate(self.shown, start=_FIRST_DESCRIPTOR):
            lines.append(f"exec {number}<{shlex.quote(str(path))}")
        for place in sorted({str(place) for place in closed.values() if place}):
            cover = "mount -n -t tmpfs -o mode=755,size=1m,nosuid,nodev once"
            lines.append(f"{cover} {shlex.quote(place)}")
        for number, path in enumerate(self.shown, start=_FIRST_DESCRIPTOR):
            target = shlex.quote(str(path))
            lines.append(f"mkdir -p {target}")
            lines.append(f"mount -n -c --bind /proc/self/fd/{number} {target}")
            lines.append(f"exec {number}<&-")
        lines += ["umask 077", 'exec "$@"']
        own_mounts = ["unshare", "--mount", "--propagation=private", "--"]
        return [*own_mounts, "sh", "-euc", "\n".join(lines), "sh"]

    def cannot_read(self, paths: Sequence[Path]) -> list[Path]:
        """Those of them that this user, as it is, does not get to."""
        try:
            probe = self.command(["sh", "-c", _PROBE, "sh", *map(str, paths)])
            done = commands.attempt(probe, directory=Path("/"))
        except FileNotFoundError as error:
            raise MissingPart(
                f"{error.filename} is missing: install the package util-linux"
            ) from error
        if done.returncode != 0:
            return list(paths)
        return [Path(line) for line in done.stdout.splitlines()]


def make_servant(
    passed: Sequence[Path], folders: Sequence[Path], files: Sequence[Path]
) -> Servant:
    """Whom to run database processes as, able to enter and read all of these.

    It is let through our own folders in `passed`, the outermost first. Raises
    MissingPart with what to do when there is nobody who gets there.
    """
    servant = _plain_servant()
    for path in passed:
        servant.let_pass(path)
    needed = [*folders, *files]
    if servant.user is None or not servant.cannot_read(needed):
        return servant
    closed = tuple(path for path in folders if _closed(path, servant))
    servant = replace(servant, shown=closed)
    missing = servant.cannot_read(needed)
    if missing:
        raise MissingPart(
            f"the user {servant.user}, who runs Postgres, cannot read {missing[0]}: "
            "move the checkout (or its Python) to a folder that others may enter and "
            "read, or run the stack as another user than root"
        )
    return servant


def python_folders() -> list[Path]:
    """Where Patroni runs from: this environment, and the Python beneath it."""
    return [Path(sys.prefix), Path(sys.base_prefix)]


def python_files() -> list[Path]:
    """Some without which Patroni does not begin."""
    patroni = importlib.util.find_spec("patroni")
    found = [Path(sys.executable), Path(os.__file__)]
    return found + ([Path(patroni.origin)] if patroni and patroni.origin else [])


def _plain_servant() -> Servant:
    if os.geteuid() != 0:
        return Servant(None, os.geteuid(), os.getegid())
    entry = _first_user()
    return Servant(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _first_user() -> pwd.struct_passwd:
    if shutil.which("setpriv") is None:
        raise MissingPart("setpriv is missing: install the package util-linux")
    for name in PREFERRED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise MissingPart("there is no user postgres to run Postgres as: create one")


def _closed(path: Path, servant: Servant) -> Path | None:
    """The outermost folder on the way to `path` that does not let `servant` pass."""
    for folder in reversed(path.parents):
        status = folder.stat()
        if status.st_uid == servant.uid:
            passes = status.st_mode & 0o100
        elif status.st_gid == servant.gid:
            passes = status.st_mode & 0o010
        else:
            passes = status.st_mode & 0o001
        if not passes:
            return folder
    return None
