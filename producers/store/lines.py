"""Reads transfers from lines of JSON; a line that is none is reported, not fatal.

A file, which always has more, is cut by size alone. A pipe, which lets us wait, is cut
by time as well: what has come is not kept back.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pydantic import ValidationError

from producers.store.transfers import Chunk, ClientLine, Transfer, repeated_field

LINE_BYTES_MAX = 4_096
READ_BYTES = 1 << 16
IDLE_SECONDS = 1.0  # how soon one who waits for lines hears that there are none

Reject = Callable[[int, str], None]


class _Splitter:
    """Makes lines of what was read, and keeps the beginning of the next one."""

    def __init__(self, reject: Reject) -> None:
        self._reject = reject
        self._number = 0
        self._begun = b""
        self._dropped = 0  # bytes of a line that is too long already

    def good(self, read: bytes) -> Iterator[Transfer]:
        """The transfers among the lines that are whole now."""
        *whole, begun = read.split(b"\n")
        for line in whole:
            yield from self._line(line)
        self._begun += begun
        if len(self._begun) > LINE_BYTES_MAX:
            self._dropped += len(self._begun)
            self._begun = b""

    def _line(self, end: bytes) -> Iterator[Transfer]:
        line, dropped = self._begun + end, self._dropped
        self._begun, self._dropped = b"", 0
        self._number += 1
        size = dropped + len(line)
        if size > LINE_BYTES_MAX:
            self._reject(self._number, f"{size} bytes, allowed are {LINE_BYTES_MAX}")
        elif line.strip():
            try:
                transfer = ClientLine.model_validate_json(line)
            except ValidationError as error:
                self._reject(self._number, _sentence(error))
                return
            repeated = repeated_field(line, transfer)
            if repeated is None:
                yield transfer
            else:
                self._reject(self._number, f"{repeated}: is there more than once")


def chunks(
    file: BinaryIO, reject: Reject, *, records_max: int, linger_seconds: float
) -> Iterator[Chunk | None]:
    """Chunks of the good lines; `reject(line number, what is wrong)` for each other.

    None says that nothing has come for a while. Nobody may have read from `file`.
    """
    splitter = _Splitter(reject)
    good: list[Transfer] = []
    due = 0.0
    while True:
        wait_seconds = max(0.0, due - time.monotonic()) if good else IDLE_SECONDS
        if not select.select([file], [], [], wait_seconds)[0]:
            yield Chunk.of(good) if good else None
            good = []
            continue
        read = os.read(file.fileno(), READ_BYTES)
        for line in splitter.good(read or b"\n"):
            if not good:
                due = time.monotonic() + linger_seconds
            good.append(line)
            if len(good) == records_max:
                yield Chunk.of(good)
                good = []
        if not read:
            break
    if good:
        yield Chunk.of(good)


def _sentence(error: ValidationError) -> str:
    """All that is wrong with one line, field by field, without quoting it whole."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'line'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )
