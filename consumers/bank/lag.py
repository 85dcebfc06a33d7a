"""How far each partition is behind: 0 when there is nothing to do.

Markers and aborted records take offsets, too, so the end of the log says little. What
tells is how far the reader came: once it has read to the last stable offset, nothing
below that is left, and what lies between there and the end of the log is held back by
an open transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from once.metrics import Lag


class Lags:
    """The lag of every partition that is read, made anew at each step.

    `now` is replaced and never changed in place: another thread reads it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held_since: dict[int, float] = {}
        self._stepped_at = clock()
        self.now: dict[int, Lag] = {}

    def step(
        self,
        due: Mapping[int, int],
        stable: Mapping[int, int],
        ends: Mapping[int, int],
        age: float | None,
    ) -> None:
        """Some records were read, or none: then `age` is None, else that of the newest.

        By partition, `due` is the next offset to read, `stable` the last stable offset
        where the reader came to it, and `ends` where the log ends.
        """
        self._stepped_at = self._clock()
        lags = {}
        for partition, offset in due.items():
            end = ends[partition]
            if stable.get(partition, -1) < offset:  # not all that can be read is read
                self._held_since.pop(partition, None)
                before = self.now.get(partition, Lag(0, 0.0)).seconds
                seconds = before if age is None else age
                behind = max(0, end - offset)
                lags[partition] = Lag(behind, seconds if behind else 0.0)
            else:
                lags[partition] = self._held_back(partition, end - stable[partition])
        self.now = lags

    def wait(self) -> None:
        """Something is away: lag grows by the clock until the next step."""
        seconds = self._clock() - self._stepped_at
        self.now = {
            partition: Lag(max(1, lag.records), max(lag.seconds, seconds), lag.held)
            for partition, lag in self.now.items()
        }

    def keep(self, partitions: Collection[int]) -> None:
        """The others are not ours any more."""
        self.now = {p: lag for p, lag in self.now.items() if p in partitions}
        self._held_since = {
            p: since for p, since in self._held_since.items() if p in partitions
        }

    def _held_back(self, partition: int, records: int) -> Lag:
        if records <= 0:
            self._held_since.pop(partition, None)
            return Lag(0, 0.0)
        since = self._held_since.setdefault(partition, self._clock())
        seconds = self._clock() - since
        return Lag(records, seconds, held=seconds)
