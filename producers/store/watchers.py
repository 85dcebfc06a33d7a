"""Who waits for news of a transfer. Lives in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Watchers:
    """Wakes those who wait for an id, and all of them when the Store leaves."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, set[asyncio.Event]] = {}
        self.leaving = False

    @contextmanager
    def watch(self, transfer_id: bytes) -> Iterator[asyncio.Event]:
        """An event that is set by every news until the block ends; clear it first."""
        event = asyncio.Event()
        events = self._waiting.setdefault(transfer_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events and self._waiting.get(transfer_id) is events:
                del self._waiting[transfer_id]

    def notify(self, transfer_ids: Collection[bytes]) -> None:
        """More is known of these transfers."""
        if not self._waiting:
            return
        for transfer_id in self._waiting.keys() & set(transfer_ids):
            for event in self._waiting[transfer_id]:
                event.set()

    def leave(self) -> None:
        """Wake everybody: nothing more will come."""
        self.leaving = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    def __len__(self) -> int:
        return len(self._waiting)
