"""Bulkheads: so many of a kind at once, and of them no client more than its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from producers.store.problems import Kind, Problem


class Places:
    """Places for one kind of work. Lives in the event loop."""

    def __init__(self, what: str, most: int, share: float = 1.0) -> None:
        """`what` is the plural for sentences; `share` is what one client may have."""
        self._what = what
        self._most = most
        self._each = max(1, int(most * share))
        self._taken = 0
        self._by_client: Counter[str] = Counter()

    def has_room(self, client: str) -> bool:
        """Whether this client would get one."""
        return self._taken < self._most and self._by_client[client] < self._each

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """A place until the block ends. Raises Problem when there is none."""
        if not self.has_room(client):
            full = self._taken >= self._most
            here = f"{self._most} {self._what} here" if full else self._yours()
            raise Problem(Kind.BUSY, f"At most {here} at once.", 1)
        self._taken += 1
        self._by_client[client] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]

    def _yours(self) -> str:
        return f"{self._each} {self._what} of one client"
