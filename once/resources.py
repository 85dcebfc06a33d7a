"""Finds files that ship with the programs: schemas and migrations."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find(relative: str) -> Path:
    """The file or folder `relative` (as in "avro/transfer.avsc").

    In an installed wheel it lies inside this package (a top-level folder named avro
    would shadow the package of that name), in a checkout beside it. Raises
    FileNotFoundError.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(f"{relative} is neither in the wheel nor in the checkout")
