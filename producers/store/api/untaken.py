"""A clock on the way out: who takes nothing of an answer holds no place for long."""

from __future__ import annotations

import asyncio
from collections import deque

BYTES_PER_SECOND_MIN = 1_024
# In the time that is allowed. A kernel takes much at once, and its client nothing: what
# was taken before the first look is soon forgotten.
LOOKS = 5


class Untaken:
    """Ends a connection of which too little was taken in the last `seconds_max`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        seconds_max: float,
    ) -> None:
        self._loop, self._transport = loop, transport
        self._seconds_max = seconds_max
        self._left: deque[int] = deque(maxlen=LOOKS + 1)
        self._clock: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """From now on, as long as anything is left."""
        self.stop()
        self._note()

    def stop(self) -> None:
        """Watch no longer."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._left.clear()

    def _note(self) -> None:
        self._left.append(self._transport.get_write_buffer_size())
        later = self._seconds_max / LOOKS
        self._clock = self._loop.call_later(later, self._look)

    def _look(self) -> None:
        self._note()
        taken = self._left[0] - self._left[-1]
        if not self._left[-1]:
            self.stop()
        elif len(self._left) > LOOKS and (
            taken < self._seconds_max * BYTES_PER_SECOND_MIN
        ):
            self.stop()
            self._transport.abort()
