"""The emitter tells a rival from a slow broker, and what it waits out from a defect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from once.errors import Defect, Fenced, OnceError, Refused
from once.health import Progress
from once.producer import TransactionalProducer
from once.registry import Registry, load_schema
from once.telemetry import Telemetry
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.emitter import FENCES_MAX, Emitter
from producers.store.places import ACCOUNTS_REMEMBERED_MAX, Places
from producers.store.stream import Stream, Tally
from producers.store.transfers import Chunk
from tests.contract.golden import AVRO
from tests.contract.registry_server import serving
from tests.unit.entries import SECONDS_MAX
from tests.unit.scripted_store import transfer


class Clock:
    """What the time is, for the emitter."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class PlayedProducer(TransactionalProducer):
    """Every send ends as it is told, after so many seconds; then all goes well."""

    def __init__(self, clock: Clock, ends: Sequence[OnceError], took_s: float) -> None:
        super().__init__({}, "store-test")
        self._clock, self._ends, self._took_s = clock, list(ends), took_s
        self._usable = False
        self.recycled = 0

    @property
    def usable(self) -> bool:
        return self._usable

    def recycle(self) -> None:
        self.incarnation = bytes(16)
        self._usable = True
        self.recycled += 1

    def send(self, *_: Any, **__: Any) -> None:
        self._clock.now += self._took_s
        if self._ends:
            self._usable = False
            raise self._ends.pop(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("producers.store.emitter.time", clock)
    return clock


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving({1: load_schema(AVRO / "transfer.avsc")}) as url:
        registry = Registry(url)
        yield registry
        registry.close()


def emitter(registry: Registry, producer: TransactionalProducer) -> Emitter:
    telemetry = Telemetry.start("store", "test", 0.0, None)
    return Emitter(
        producer,
        "transfers",
        places=Places(3),
        registry=registry,
        telemetry=telemetry,
        pause=lambda _: None,
    )


class NoMore(Exception):
    """Ends a stream that would go on for ever."""


def test_what_was_sent_is_acknowledged_while_the_next_line_is_waited_for(
    clock: Clock, registry: Registry, tmp_path: Path
) -> None:
    producer = PlayedProducer(clock, [], took_s=0.0)
    stream = Stream([emitter(registry, producer)], Progress(60.0), Tally())
    log = tmp_path / "acknowledged"

    def waits() -> Iterator[Chunk | None]:
        yield Chunk.of([transfer()])
        for _ in range(round(SECONDS_MAX / 0.01)):
            if log.stat().st_size:
                raise NoMore
            time.sleep(0.01)
            yield None

    with AcknowledgementLog(log) as acknowledged, pytest.raises(NoMore):
        stream.emit(waits(), acknowledged)


def fences(count: int) -> list[OnceError]:
    return [Fenced("another producer")] * count


def test_fences_of_transactions_that_outlived_their_timeout_are_no_rivals(
    clock: Clock, registry: Registry
) -> None:
    producer = PlayedProducer(clock, fences(3 * FENCES_MAX), took_s=10.0)
    emitter(registry, producer).emit(Chunk.of([transfer()]))
    assert producer.recycled == 3 * FENCES_MAX + 1


def test_fences_one_soon_after_the_other_are_a_rival(
    clock: Clock, registry: Registry
) -> None:
    producer = PlayedProducer(clock, fences(3 * FENCES_MAX), took_s=9.9)
    with pytest.raises(Refused, match="give each its own STORE_INSTANCE"):
        emitter(registry, producer).emit(Chunk.of([transfer()]))
    assert producer.recycled == FENCES_MAX + 1


def test_a_defect_ends_it_at_once_with_its_sentence(
    clock: Clock, registry: Registry
) -> None:
    ends = [Defect("MSG_SIZE_TOO_LARGE: raise the topic's max.message.bytes")] * 2
    producer = PlayedProducer(clock, ends, took_s=0.1)
    with pytest.raises(Defect, match="max.message.bytes"):
        emitter(registry, producer).emit(Chunk.of([transfer()]))
    assert producer.recycled == 1


def test_emitters_share_what_is_remembered_of_accounts_and_its_bound(
    clock: Clock, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.store.places.ACCOUNTS_REMEMBERED_MAX", 2)
    places, telemetry = Places(3), Telemetry.start("store", "test", 0.0, None)
    one, two = (
        Emitter(
            PlayedProducer(clock, [], 0.0),
            "transfers",
            places=places,
            registry=registry,
            telemetry=telemetry,
        )
        for _ in range(2)
    )
    one.emit(Chunk.of([transfer()]))
    known = dict(places.known)
    two.emit(Chunk.of([transfer()]))
    assert places.known == known and len(known) == 1
    for account in (7, 8, 9):
        assert places.of(account) == (b"%d" % account, places.of(account)[1])
        assert len(places.known) <= 2 < ACCOUNTS_REMEMBERED_MAX
