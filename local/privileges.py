"""Running Postgres, Patroni and etcd without root's rights when root starts the stack.

Postgres refuses to run as root, for good reason. As root we hand these processes to
the user `postgres` (or `nobody`) with `setpriv`; as anyone else they run as that user.
"""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from local.errors import MissingPart

PREFERRED_USERS = ("postgres", "nobody")
READ_SEARCH = "dac_read_search"
OVERRIDE = "dac_override"
CAPABILITY_BITS = {READ_SEARCH: 2, OVERRIDE: 1}


@dataclass(frozen=True)
class Servant:
    """The user that database processes run as; None = the user we are."""

    user: str | None
    uid: int
    gid: int
    # A right to pass directories that only root may enter: without it a checkout
    # under /root or a private temporary directory could not run the stack at all.
    capability: str | None = None

    def command(self, command: list[str]) -> list[str]:
        """`command`, to be executed as this user, under the same pid."""
        if self.user is None:
            return command
        prefix = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}"]
        prefix.append("--init-groups")
        if self.capability:
            prefix.append(f"--inh-caps=-all,+{self.capability}")
            prefix.append(f"--ambient-caps=-all,+{self.capability}")
        return [*prefix, "--", *command]

    def own(self, path: Path, *, mode: int = 0o700) -> None:
        """Make `path` (a directory, made if missing, or a file) this user's."""
        if not path.exists():
            path.mkdir(parents=True)
        path.chmod(mode)
        if self.user is not None:
            os.chown(path, self.uid, self.gid)


def find_servant(needed: list[Path]) -> Servant:
    """Whom to run database processes as, able to reach every path in `needed`."""
    if os.geteuid() != 0:
        return Servant(None, os.geteuid(), os.getegid())
    if shutil.which("setpriv") is None:
        raise MissingPart("setpriv is missing: install the package util-linux.")
    entry = _first_user()
    if all(_can_reach(path, entry) for path in needed):
        return Servant(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for capability in (READ_SEARCH, OVERRIDE):
        if _we_have(capability):
            return Servant(entry.pw_name, entry.pw_uid, entry.pw_gid, capability)
    raise MissingPart(
        f"The user {entry.pw_name}, who runs Postgres, cannot enter "
        f"{needed[0]}: move the checkout to a directory that others may enter."
    )


def _first_user() -> pwd.struct_passwd:
    for name in PREFERRED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise MissingPart("There is no user postgres to run Postgres as: create one.")


def _can_reach(path: Path, entry: pwd.struct_passwd) -> bool:
    """Whether every directory on the way lets `entry` pass."""
    groups = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    for directory in (path, *path.parents):
        if not directory.is_dir():
            continue
        status = directory.stat()
        if status.st_uid == entry.pw_uid:
            passes = status.st_mode & 0o100
        elif status.st_gid in groups:
            passes = status.st_mode & 0o010
        else:
            passes = status.st_mode & 0o001
        if not passes:
            return False
    return True


def _we_have(capability: str) -> bool:
    """Whether this process may pass `capability` on to a child."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapPrm:"):
            permitted = int(line.split()[1], 16)
            return bool(permitted >> CAPABILITY_BITS[capability] & 1)
    return False
