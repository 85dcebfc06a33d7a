"""What the API accepted and Kafka has not committed yet, in order.

Two forms with one face: `MemoryBacklog` forgets when the process ends, so nothing in it
has been promised; `Journal` (journal.py) is on disk, so what is in it has been.
Both are bounded: full means that a request is refused, never that something is dropped.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from producers.store.receipts import Receipt, digest_of
from producers.store.transfers import Transfer


class Entry(NamedTuple):
    """One accepted transfer and whose it is."""

    transfer: Transfer
    receipt: Receipt

    @classmethod
    def of(cls, transfer: Transfer, client: str) -> Entry:
        """The entry of a transfer that `client` sent."""
        receipt = Receipt(transfer.transfer_id.bytes, client, digest_of(transfer))
        return cls(transfer, receipt)


class Full(Exception):
    """There is no room for these entries; nothing was appended."""


class Backlog(Protocol):
    """Entries by an ever growing number. Appended, taken and removed in that order.

    `append` is called by one thread, `take` and `remove` by another one, the rest by
    any.
    """

    durable: bool

    def append(self, entries: Sequence[Entry]) -> int:
        """The number of the last entry; all are there, or Full is raised."""

    def take(
        self, most: int, *, linger_seconds: float = 0.0, wait_seconds: float = 0.0
    ) -> list[Entry]:
        """The next entries, after waiting so long for one, and then for more."""

    def remove(self, count: int) -> int:
        """Forget the first `count` entries; the number of the last one of them."""

    def withdraw(self, first: int, last: int) -> bool:
        """Forget entries that nobody was told of; False when one was taken already."""

    def find(self, transfer_ids: Sequence[bytes]) -> list[Receipt]:
        """The receipts of the entries with these ids; at most 30,000 ids."""

    def room(self) -> int:
        """How many more entries fit."""

    def trouble(self) -> str | None:
        """Why an append would fail, beside room; None: nothing is known."""

    def __len__(self) -> int: ...

    def close(self) -> None: ...


class MemoryBacklog:
    """A backlog that ends with the process."""

    durable = False

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries: dict[int, Entry] = {}  # in the order of their numbers
        self._by_id: dict[bytes, list[int]] = {}
        self._last = 0
        self._taken = 0  # the last number that was
        self._being_sent = 0  # how many are taken and not removed: the first ones
        self._changed = threading.Condition()

    def append(self, entries: Sequence[Entry]) -> int:
        with self._changed:
            if len(entries) > self.room():
                raise Full
            for entry in entries:
                self._last += 1
                self._entries[self._last] = entry
                numbers = self._by_id.setdefault(entry.receipt.transfer_id, [])
                numbers.append(self._last)
            self._changed.notify_all()
            return self._last

    def take(
        self, most: int, *, linger_seconds: float = 0.0, wait_seconds: float = 0.0
    ) -> list[Entry]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting > 0, wait_seconds):
                return []
            self._changed.wait_for(lambda: self._waiting >= most, linger_seconds)
            first = self._being_sent
            numbers = list(itertools.islice(self._entries, first, first + most))
            if numbers:
                self._taken = numbers[-1]
                self._being_sent += len(numbers)
            return [self._entries[number] for number in numbers]

    def remove(self, count: int) -> int:
        with self._changed:
            numbers = list(itertools.islice(self._entries, count))
            for number in numbers:
                self._forget(number)
            self._being_sent -= len(numbers)
            return numbers[-1]

    def withdraw(self, first: int, last: int) -> bool:
        with self._changed:
            if first <= self._taken:
                return False
            for number in range(first, last + 1):
                self._forget(number)
            return True

    def find(self, transfer_ids: Sequence[bytes]) -> list[Receipt]:
        with self._changed:
            return [
                self._entries[number].receipt
                for transfer_id in transfer_ids
                for number in self._by_id.get(transfer_id, ())
            ]

    def room(self) -> int:
        return max(0, self._entries_max - len(self._entries))

    def trouble(self) -> str | None:
        return None

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        """Nothing to give back."""

    @property
    def _waiting(self) -> int:
        return len(self._entries) - self._being_sent

    def _forget(self, number: int) -> None:
        entry = self._entries.pop(number)
        numbers = self._by_id[entry.receipt.transfer_id]
        numbers.remove(number)
        if not numbers:
            del self._by_id[entry.receipt.transfer_id]
