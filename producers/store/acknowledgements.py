"""The acknowledgement log: ids that were acknowledged, written down after that.

One UUID a line, appended and flushed per Kafka transaction. The audit takes it as the
list of what must be in the ledger (invariant I1).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from os import SEEK_END
from pathlib import Path
from typing import Self

from producers.store.ids import spelled


class AcknowledgementLog:
    """Appends to one file; does nothing without a path."""

    def __init__(self, path: Path | None) -> None:
        self._file = None
        self._appending = (
            threading.Lock()
        )  # transfers and changes come from two threads
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a")
            if _is_cut_short(path):
                self._file.write("\n")

    def append(self, transfer_ids: Sequence[bytes]) -> None:
        """Write down that these were acknowledged."""
        if self._file is None:
            return
        with self._appending:
            self._file.write("".join(f"{text}\n" for text in spelled(transfer_ids)))
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _is_cut_short(path: Path) -> bool:
    """Whether the last line has no end: a disk was full, or a machine lost power."""
    if not path.is_file():  # a pipe, say
        return False
    with path.open("rb") as file:
        if file.seek(0, SEEK_END) == 0:
            return False
        file.seek(-1, SEEK_END)
        return file.read() != b"\n"
