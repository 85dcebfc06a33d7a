"""Files that only their owner reads, also in folders where a name may be a trap.

Root writes into folders of the user who runs Postgres, who may put a link to a file of
root's under any name there. So a folder is opened without following a link at its end,
a file is made under a name that nobody knows, given to its owner while it is open, and
moved over the old name: a link is replaced, never followed, and a reader or a crash
sees the old file or the new one.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.processes.errors import StackError

UMASK = 0o077  # of every program here, and of what it starts
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Owner:
    """Whose a file is to be."""

    uid: int
    gid: int


def private(path: str, flags: int) -> int:
    """For `open`, as its `opener`: a file that is new is its owner's alone."""
    return os.open(path, flags, 0o600)


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Its descriptor. Raises StackError when there is something else, or a link."""
    try:
        descriptor = os.open(path, _FOLDER)
    except NotADirectoryError as error:
        raise StackError(f"{path} is a link or no folder: remove it") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path, *, mode: int = 0o700, owner: Owner | None = None) -> None:
    """Make it, or give the one that is there this mode and owner."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened_folder(path) as descriptor:
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
        os.fchmod(descriptor, mode)


def replace_file(
    path: Path, content: bytes, *, mode: int = 0o600, owner: Owner | None = None
) -> None:
    """Write it in one step, whatever is there now. The folder must exist."""
    temporary = f".{path.name}.{secrets.token_hex(8)}"
    with opened_folder(path.parent) as folder:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if owner is not None:
                    os.fchown(file.fileno(), owner.uid, owner.gid)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def read_untrusted(path: Path, size_max: int = 4096) -> bytes:
    """The beginning of a file in somebody else's folder: no link, no pipe.

    Raises OSError.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(f"{path} is no file")
        return os.read(descriptor, size_max)
    finally:
        os.close(descriptor)


def narrow(folder: Path, names: Iterable[str]) -> None:
    """Take from others what they may do with these of ours, and with all below them.

    Older programs have made them as the umask of that day said. What is missing or
    belongs to somebody else stays as it is.
    """
    with opened_folder(folder) as descriptor:
        found = [name for name in names if _narrow_one(name, descriptor)]
        for name in found:
            _narrow_below(name, descriptor)


def _narrow_below(top: str, descriptor: int) -> None:
    """Nothing when it is a file."""
    walk = os.fwalk(top, follow_symlinks=False, dir_fd=descriptor)
    for _, folders, files, inside in walk:
        folders[:] = [name for name in folders if _narrow_one(name, inside)]
        for name in files:
            _narrow_one(name, inside)


def _narrow_one(name: str, folder: int) -> bool:
    """Whether it is there and ours."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kept = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
        if not kept or found.st_uid != os.geteuid():
            return False
        if found.st_mode & UMASK:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=folder)
            try:
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~UMASK)
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        return False
    return True
