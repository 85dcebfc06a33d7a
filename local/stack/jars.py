"""The jars that run here are those of jars.sha256, byte for byte, or none runs.

The list has what `sha256sum` prints, one line a file: Kafka's jars, the archive of the
registry and what is in it. `python -m local lock-jars` makes it anew, after pom.xml
asked for other versions. Maven by itself believes the checksums of whoever sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from local.processes.errors import MissingPart

LIST = Path(__file__).parents[1] / "jars.sha256"

Hashes = Mapping[str, str]  # by the name under the folder of jars


class Changed(MissingPart):
    """A file is not the one that is listed; nothing was started from it."""


def listed(path: Path = LIST) -> dict[str, str]:
    """The hashes of the list."""
    lines = (line.split("  ", 1) for line in path.read_text().splitlines())
    return {name: digest for digest, name in lines}


def write_list(hashes: Hashes, path: Path = LIST) -> None:
    """Replace the list."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    path.write_text("".join(lines))


def has_the_names(folder: Path, top: str, hashes: Hashes) -> bool:
    """Whether a part has the files that are listed; if not it is another version."""
    return set(_names(folder, top)) == set(_listed_of(top, hashes))


def require(folder: Path, top: str, hashes: Hashes) -> None:
    """Raise Changed unless a part, file or folder, is what is listed for it.

    One file more is a change too: a class path takes whatever lies in its folder.
    """
    found, wanted = hashes_of(folder, top), _listed_of(top, hashes)
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            raise Changed(
                f"nothing runs from the jars: {name} {_what(name, found, wanted)} in "
                f"local/{LIST.name}: find out who changed it, and remove {top} from "
                "the folder of jars to have it fetched again; if another version is "
                "meant, 'python -m local lock-jars' writes the list anew"
            )


def hashes_of(folder: Path, top: str) -> dict[str, str]:
    """The hash of a file, or of each file in a folder."""
    found = {}
    for name in _names(folder, top):
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _names(folder: Path, top: str) -> list[str]:
    place = folder / top
    every = sorted(place.rglob("*")) if place.is_dir() else [place]
    files = [each for each in every if each.is_symlink() or each.is_file()]
    return [each.relative_to(folder).as_posix() for each in files]


def _listed_of(top: str, hashes: Hashes) -> dict[str, str]:
    return {
        name: digest
        for name, digest in hashes.items()
        if name == top or name.startswith(f"{top}/")
    }


def _what(name: str, found: Hashes, wanted: Hashes) -> str:
    if name not in wanted:
        return "is not listed"
    return "is not the file that is listed" if name in found else "is gone, and listed"
