"""Pauses between attempts: doubling, bounded, with jitter.

`retry` is the loop around them. Who must settle what became of an attempt before the
next one (applier, publisher, emitter, client) has a loop of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from once import logs
from once.errors import OnceError, Retriable

log = logs.get(__name__)
T = TypeVar("T")

FIRST_SECONDS = 0.1
MAX_SECONDS = 5.0


def pauses(
    first_seconds: float = FIRST_SECONDS, max_seconds: float = MAX_SECONDS
) -> Iterator[float]:
    """Endless pauses in seconds, each at random in the upper half of its bound."""
    bound = first_seconds
    while True:
        yield bound * random.uniform(0.5, 1.0)
        bound = min(2 * bound, max_seconds)


def retry(
    call: Callable[[], T],
    wait: Callable[[float, str], None],
    on: type[OnceError] | tuple[type[OnceError], ...] = Retriable,
) -> T:
    """What `call` returns as soon as it raises none of `on`.

    `wait(seconds, why)` is called between attempts, and may raise.
    """
    delays = pauses()
    while True:
        try:
            return call()
        except on as error:
            log.warning("waiting", error=str(error))
            wait(next(delays), str(error))
