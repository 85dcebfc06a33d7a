"""Who takes nothing of an answer is ended in time, and who takes a little is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from producers.store.api.untaken import BYTES_PER_SECOND_MIN, LOOKS, Untaken

SECONDS = 10.0
LITTLE = int(SECONDS * BYTES_PER_SECOND_MIN / LOOKS)  # from look to look


class Scripted:
    """A loop whose time passes when it is told to, and a transport with much left."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.now = 0.0
        self.ended_at: float | None = None
        self._due: tuple[float, Callable[[], None]] | None = None
        self.untaken = Untaken(cast(Any, self), cast(Any, self), SECONDS)

    def call_later(self, seconds: float, then: Callable[[], None]) -> Scripted:
        self._due = self.now + seconds, then
        return self

    def cancel(self) -> None:
        self._due = None

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.ended_at = self.now

    def look(self) -> bool:
        """Until the next look; whether there is one."""
        if self._due is None:
            return False
        (self.now, then), self._due = self._due, None
        then()
        return True


def test_who_takes_nothing_is_ended_when_the_time_is_over() -> None:
    client = Scripted(1_000_000)
    client.untaken.watch()
    while client.look():
        pass
    assert client.ended_at == pytest.approx(SECONDS)


def test_what_a_kernel_takes_at_once_buys_no_second_time() -> None:
    client = Scripted(6_000_000)
    client.untaken.watch()
    client.left = 2_000_000
    while client.look():
        pass
    assert client.ended_at is not None
    assert client.ended_at <= SECONDS * (1 + 1 / LOOKS) + 0.001


@pytest.mark.parametrize(
    ("each_look", "ends"), [(LITTLE + 1, False), (LITTLE // 2, True)]
)
def test_a_little_is_enough_and_less_is_not(each_look: int, ends: bool) -> None:
    client = Scripted(100 * LITTLE)
    client.untaken.watch()
    for _ in range(20 * LOOKS):
        client.left = max(0, client.left - each_look)
        client.look()
    assert (client.ended_at is not None) == ends


def test_nobody_is_ended_who_is_not_watched_any_more() -> None:
    client = Scripted(1_000_000)
    client.untaken.watch()
    client.look()
    client.untaken.stop()
    assert not client.look() and client.ended_at is None
