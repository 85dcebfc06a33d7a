"""The status of every transfer of the last day, whichever replica sent it.

A folder of files, each with what was read of the log in an eighth of the day and the
offsets that it was read from. To forget is to remove the oldest file. It is a cache: a
file that is damaged is removed, and its part of the log is read again (`incomplete`).
A row is one sending: a transfer_id under one emitter.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TextIO

from once import logs
from once.errors import Defect
from producers.store import locks
from producers.store.facts import Facts, Range
from producers.store.idfilter import IdFilter, IdHash
from producers.store.part import ROW_BYTES, Part, Row, files_of
from producers.store.receipts import Receipt
from producers.store.sqlite import Connect, connect, is_full, spoils
from producers.store.states import Sent, Verdicts

log = logs.get(__name__)

PARTS = 8  # of the time, and of the bytes: a look-up asks all, forgetting takes one
HOURS = 24.0
BYTES_MAX = 3 << 30

_NAME = re.compile(r"part-(\d+)-(\d+)\.db")
_AGE = attrgetter("began_seconds", "number")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Index:
    """Who sent what, and the verdicts. Any method may be called by any thread."""

    def __init__(
        self,
        folder: Path,
        verdicts: Verdicts,
        *,
        hours: float = HOURS,
        bytes_max: int = BYTES_MAX,
        kept: bool = True,
        connect: Connect = connect,
    ) -> None:
        """Open the folder, or make it. A file in its place is an older index, and goes.

        `kept`: it is opened again after `close`, so that has to reach the disk.
        Raises Refused when another process has it open, Defect when it cannot be made.
        """
        self.verdicts = verdicts
        self.kept_seconds = hours * 3600
        self.part_seconds = max(1, int(self.kept_seconds / PARTS))
        self._bytes_max = bytes_max
        self._part_bytes_max = bytes_max // PARTS
        self._hash = IdHash(self._part_bytes_max // ROW_BYTES)
        self._folder, self._kept = folder, kept
        self._part = partial(Part, verdicts=verdicts, connect=connect)
        self._mark = folder / "open-since-boot"
        # Set when something is to be read again; who does so clears it before.
        self.incomplete = threading.Event()
        self._changing = threading.RLock()
        self.parts: tuple[Part, ...] = ()  # oldest first; replaced, never changed
        self._number = 0  # the last one that a part was given
        self._lock = self._take()
        try:
            self._open()
        except BaseException:
            self._lock.close()
            raise

    # -- what it knows -----------------------------------------------------------------

    def find(self, transfer_ids: Sequence[bytes]) -> list[Sent]:
        """Every known sending of these ids, by whomever; at most 30,000 ids."""
        asked = self._hash.ask(transfer_ids)
        sendings: dict[tuple[bytes, bytes], Row] = {}
        for part in self.parts:
            try:
                rows = part.find(asked)
            except sqlite3.Error as error:
                self._bear(part, error)
                continue
            for row in rows:
                key = (row.transfer_id, row.emitter)
                known = sendings.get(key)
                sendings[key] = row if known is None else self._merged(known, row)
        return [
            Sent(
                Receipt(row.transfer_id, row.client, row.digest),
                row.verdict,
                row.first_verdict or 0,
            )
            for row in sendings.values()
            if row.client is not None and row.digest is not None
        ]

    def _merged(self, older: Row, newer: Row) -> Row:
        """A sending whose receipt and verdict came in different hours, or twice."""
        owner = newer if older.client is None else older
        settled = older.verdict is not None and not self.verdicts.decided(newer.verdict)
        word = older if settled or newer.verdict is None else newer
        return Row(*owner[:4], *word[4:])

    def ranges(self) -> list[Range]:
        """All that it was made from."""
        ranges: list[Range] = []
        for part in self.parts:
            try:
                ranges += part.ranges()
            except sqlite3.Error as error:
                self._bear(part, error)
        return ranges

    # -- what it learns ----------------------------------------------------------------

    def write(
        self,
        facts: Facts,
        ranges: Sequence[Range] = (),
        at_seconds: float | None = None,
    ) -> None:
        """What was read of these ranges: of now, or of that Unix time.

        All of it or nothing. Raises sqlite3.Error or OSError when the disk fails.
        """
        tries = len(self.parts) + 2  # on a full disk each makes room by one part
        while True:
            part: Part | None = None
            try:
                part = self._part_of(time.time() if at_seconds is None else at_seconds)
                part.write(facts, ranges)
                return
            except sqlite3.Error as error:
                tries -= 1
                if not tries:
                    raise
                self._bear(part, error)

    def _bear(self, part: Part | None, error: sqlite3.Error) -> None:
        """Go on without what is spoilt. Raises the error when it is of another kind."""
        with self._changing:
            if part is not None and part not in self.parts:
                return  # it went while it was in use
            if is_full(error) and len(self.parts) > 1:
                self._drop(self.parts[0], f"the disk is full: {error}")
            elif part is not None and spoils(error):
                self._drop(part, f"damaged, to be read again from the log: {error}")
                self.incomplete.set()
            else:
                raise error

    def _part_of(self, at_seconds: float) -> Part:
        """The part that this time belongs to, with room in it."""
        began_seconds = int(at_seconds // self.part_seconds) * self.part_seconds
        with self._changing:
            parts = [part for part in self.parts if part.began_seconds == began_seconds]
            if parts and parts[-1].size_bytes() < self._part_bytes_max:
                return parts[-1]
            self._number += 1
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"part-{began_seconds}-{self._number}.db"
            ids = IdFilter(self._hash)
            part = self._part(
                path, began_seconds=began_seconds, number=self._number, ids=ids
            )
            self.parts = tuple(sorted((*self.parts, part), key=_AGE))
            return part

    # -- what it forgets ---------------------------------------------------------------

    def size_bytes(self) -> int:
        """How much of the disk it takes."""
        return sum(part.size_bytes() for part in self.parts)

    def has_room(self) -> bool:
        """Whether an older part would stay: else it would be the next to go."""
        return self.size_bytes() < self._bytes_max - self._part_bytes_max

    def kept_since_seconds(self) -> float:
        """The Unix time before which nothing is kept."""
        return time.time() - self.kept_seconds

    def forget(self) -> None:
        """Remove what is too old, and the oldest parts while there is too much."""
        with self._changing:
            for part in self.parts[:-1]:
                if part.began_seconds + self.part_seconds <= self.kept_since_seconds():
                    self._drop(part)
            while len(self.parts) > 1 and (size := self.size_bytes()) > self._bytes_max:
                most = f"{size} bytes are more than STORE_INDEX_BYTES_MAX"
                self._drop(self.parts[0], most)

    def _drop(self, part: Part, why: str | None = None) -> None:
        self.parts = tuple(each for each in self.parts if each is not part)
        if why is not None:
            log.warning("a part of the index is removed", file=part.path.name, why=why)
        part.remove()

    # -- the folder --------------------------------------------------------------------

    def _take(self) -> TextIO:
        """The folder, locked. Raises Refused, Defect."""
        what, setting = f"the index {self._folder}", "STORE_INDEX"
        try:
            if self._folder.is_file():
                log.warning(
                    "an index of another form is removed", file=str(self._folder)
                )
                for each in files_of(self._folder):
                    each.unlink(missing_ok=True)
        except OSError as error:
            raise Defect(f"{what} ({setting}) cannot be opened: {error}") from error
        return locks.hold(self._folder / "lock", what, setting)

    def _open(self) -> None:
        """Take over what is there and sound; the rest goes, with one warning."""
        spoilt = {}
        lost = self._went_down()
        for path in sorted(self._folder.glob("part-*.db")):
            named = _NAME.fullmatch(path.name)
            if named is None:
                continue
            began_seconds, number = map(int, named.groups())
            try:
                if lost:
                    raise sqlite3.DatabaseError("the machine went down with it open")
                part = self._part(
                    path, began_seconds=began_seconds, number=number, ids=None
                )
                self.parts = (*self.parts, part)
                part.ranges()
            except sqlite3.Error as error:
                spoilt[path.name] = str(error)
                for opened in (each for each in self.parts if each.path == path):
                    opened.close()
                self.parts = tuple(each for each in self.parts if each.path != path)
                for each in files_of(path):
                    each.unlink(missing_ok=True)
            self._number = max(self._number, number)
        self.parts = tuple(sorted(self.parts, key=_AGE))
        if spoilt:
            log.warning(
                "parts of the index are damaged, and are made again", why=spoilt
            )
        self.forget()

    def _went_down(self) -> bool:
        """Whether the machine ended before the index was closed: nothing was synced.

        Then a file may be whole and old, and would say that it has what it lost.
        """
        now = _BOOT.read_text().strip() if _BOOT.exists() else "unknown"
        before = self._mark.read_text().strip() if self._mark.exists() else now
        self._mark.write_text(now)
        return before != now

    def close(self) -> None:
        """Close all files."""
        if self._lock.closed:
            return
        with self._changing, self._lock:
            parts, self.parts = self.parts, ()
            for part in parts:
                part.close()
                if self._kept:
                    _sync(part.path)
            self._mark.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())
