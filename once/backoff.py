"""Pauses between attempts: doubling, bounded, with jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator

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
