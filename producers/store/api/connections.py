"""How many connections there are at once, and who goes when there are too many.

Counted from their first packet, before TLS. One that is idle costs its client nothing
to open again (RFC 9112, 9.3), so the longest idle one makes room for a new one.
"""

from __future__ import annotations

from collections.abc import Callable


class Connections:
    """Lives in the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[object] = set()
        self._idle: dict[object, Callable[[], None]] = {}  # the longest idle one first

    def admit(self, connection: object, end: Callable[[], None]) -> bool:
        """Whether there is room for it; `end()` ends it while it is idle."""
        if len(self._open) >= self._most and self._idle:
            longest = next(iter(self._idle))
            ended = self._idle[longest]
            self.gone(longest)
            ended()
        if len(self._open) >= self._most:
            return False
        self._open.add(connection)
        self._idle[connection] = end
        return True

    def busy(self, connection: object) -> None:
        """It has begun to send something."""
        self._idle.pop(connection, None)

    def idle(self, connection: object, end: Callable[[], None]) -> None:
        """It has its answer, and nothing more was sent."""
        if connection in self._open:
            self._idle[connection] = end

    def gone(self, connection: object) -> None:
        """It has ended, or is about to."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def __len__(self) -> int:
        return len(self._open)
