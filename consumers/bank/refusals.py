"""Partitions that a person must decide about: they stay ours, red and loud.

A worker that ended over one partition would hand it to the next one, which would end
too, until all partitions stood still. So the refused one is kept and not read, the
others go on, readiness says why, and the log says it again every minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from once import logs

log = logs.get(__name__)

SAID_AGAIN_SECONDS = 60.0


@dataclass(slots=True)
class _Refusal:
    sentence: str
    final: bool
    said_at: float


class Refusals:
    """The refused partitions of one worker; outlives its sessions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[int, _Refusal] = {}
        self._owned: set[int] = set()

    def refuse(self, partition: int, sentence: str, final: bool = False) -> None:
        """A person must decide; `final`: not looked at again while it is ours."""
        log.error("partition refused", partition=partition, error=sentence)
        self._owned.add(partition)
        self._refused[partition] = _Refusal(sentence, final, self._clock())

    def accept(self, partitions: Iterable[int]) -> None:
        """They are all right, or not ours any more."""
        for partition in partitions:
            self._refused.pop(partition, None)

    def owned(self, partitions: Iterable[int]) -> None:
        """These are ours in this session, and no others."""
        self._owned = set(partitions)

    def __len__(self) -> int:
        return len(self.partitions())

    def final(self, partition: int) -> bool:
        """Whether looking again would change nothing."""
        refusal = self._refused.get(partition)
        return refusal is not None and refusal.final

    def due(self) -> list[int]:
        """Say again what has not been said for a minute; what is worth another look."""
        now, due = self._clock(), []
        for partition in self.partitions():
            refusal = self._refused[partition]
            if now - refusal.said_at >= SAID_AGAIN_SECONDS:
                refusal.said_at = now
                log.error(
                    "partition is still refused",
                    partition=partition,
                    error=refusal.sentence,
                )
                if not refusal.final:
                    due.append(partition)
        return due

    def partitions(self) -> list[int]:
        """Those of ours that are refused now."""
        return [each for each in self._refused if each in self._owned]

    def check(self) -> str | None:
        """Why this worker is not whole; None when nothing is refused."""
        sentences = [self._refused[each].sentence for each in self.partitions()]
        return "; ".join(sentences) or None
