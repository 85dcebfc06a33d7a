"""The committer: it moves the backlog, or it is seen that it does not."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from local.processes.waiting import wait_until
from once.errors import Defect, OnceError, exit_status
from once.health import Progress
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.backlog import Entry, MemoryBacklog
from producers.store.committer import Committer
from producers.store.emitter import Emitter
from producers.store.index import Index
from producers.store.receipts import new_emitter
from producers.store.states import Verdicts
from tests.unit.entries import SECONDS_MAX, entries

pytestmark = pytest.mark.usefixtures("impatient")


class Spinning(MemoryBacklog):
    """A backlog that has entries, and does not give them."""

    def __init__(self) -> None:
        super().__init__(10)
        self.asked = threading.Semaphore(0)

    def take(
        self, most: int, *, linger_seconds: float = 0, wait_seconds: float = 0
    ) -> list[Entry]:
        self.asked.release()
        return []

    def wait_asked(self) -> None:
        """Wait until a take that began from now on has been dealt with."""
        while self.asked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.asked.acquire(timeout=SECONDS_MAX)


class Failing:
    """An emitter that raises what it is given."""

    incarnation = new_emitter()

    def __init__(self, error: Exception) -> None:
        self._error = error

    def start(self) -> None:
        """It has started."""

    def refresh(self) -> None:
        """Its keys stay."""

    def emit(self, *_: Any) -> None:
        raise self._error


class Taking:
    """An emitter whose Kafka takes everything."""

    incarnation = new_emitter()

    def start(self) -> None:
        """It has started."""

    def refresh(self) -> None:
        """Its keys stay."""

    def emit(self, *_: Any) -> None:
        """It is committed."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Renewed(Taking):
    """One that has to wait for Kafka while it takes its new keys."""

    def __init__(self) -> None:
        self.pause: Callable[[float], None] = lambda seconds: None
        self.waits = 1

    def refresh(self) -> None:
        """Once, Kafka does not answer at first."""
        if self.waits:
            self.waits -= 1
            self.pause(0.0)


def opened(emitter: object, pause: Callable[[float], None]) -> Sequence[Emitter]:
    """What the committer's thread opens; it knows how to wait for Kafka."""
    if isinstance(emitter, Renewed):
        emitter.pause = pause
    return cast(Sequence[Emitter], [emitter])


@contextmanager
def committing(
    folder: Path,
    backlog: MemoryBacklog,
    emitter: object,
    failed: Callable[[OnceError], None] = lambda error: None,
    clock: Callable[[], float] = Clock(),
) -> Iterator[Committer]:
    index = Index(folder / "index", Verdicts(), kept=False)
    committer = Committer(
        backlog,
        index,
        open_emitters=lambda pause: opened(emitter, pause),
        acknowledged=AcknowledgementLog(None),
        progress=Progress(60, clock),
        records_max=10,
        interval_seconds=0,
        committed=lambda number, ids: None,
        failed=failed,
    )
    committer.start()
    try:
        yield committer
    finally:
        committer.close(0.0)
        index.close()


def test_a_committer_that_does_not_move_the_oldest_entry_is_neither_live_nor_ready(
    tmp_path: Path,
) -> None:
    backlog, clock = Spinning(), Clock()
    backlog.append(entries(1))
    with committing(tmp_path, backlog, Failing(OSError()), clock=clock) as committer:
        backlog.wait_asked()
        assert committer.check() is None and committer.stalled() is None
        clock.now = 61
        backlog.wait_asked()
        assert "no progress for 61.0 s" in str(committer.stalled())
        assert committer.check() == committer.stalled()


def test_a_committer_without_entries_never_stalls(tmp_path: Path) -> None:
    backlog, clock = Spinning(), Clock()
    with committing(tmp_path, backlog, Failing(OSError()), clock=clock) as committer:
        clock.now = 61
        backlog.wait_asked()
        assert committer.stalled() is None


@pytest.mark.parametrize(
    ("raised", "status", "sentence"),
    [
        (Defect("raise max.message.bytes"), 78, "raise max.message.bytes"),
        (OSError("no space"), 70, "a disk of this Store fails: no space"),
        (KeyError("x"), 70, "the committer ended, unforeseen: KeyError('x')"),
    ],
)
def test_what_cannot_be_waited_out_ends_the_service_with_one_sentence(
    tmp_path: Path, raised: Exception, status: int, sentence: str
) -> None:
    backlog, ended = MemoryBacklog(10), threading.Event()
    errors: list[OnceError] = []

    def failed(error: OnceError) -> None:
        errors.append(error)
        ended.set()

    with committing(tmp_path, backlog, Failing(raised), failed) as committer:
        backlog.append(entries(1))
        assert ended.wait(SECONDS_MAX)
        assert sentence in str(committer.check())
    (error,) = errors
    assert exit_status(error) == status and sentence in str(error)


def test_an_index_without_room_stops_no_money(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Index, "write", full)
    backlog = MemoryBacklog(10)
    with committing(tmp_path, backlog, Taking()) as committer:
        backlog.append(entries(2))
        wait_until(
            lambda: len(backlog) == 0, what="both to be sent", timeout_seconds=20
        )
        assert committer.check() is None


def test_a_store_that_waited_for_kafka_while_nobody_paid_is_ready_again(
    tmp_path: Path,
) -> None:
    """Without a payment, nothing but this could say so."""
    emitter = Renewed()
    with committing(tmp_path, MemoryBacklog(10), emitter) as committer:
        wait_until(
            lambda: emitter.waits == 0 and committer.check() is None,
            what="the Store to be ready",
            timeout_seconds=SECONDS_MAX,
        )
