"""What a poll gives out, with a consumer whose calls are played."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError

from consumers.bank.observe import Observer
from consumers.bank.reading import Reading
from consumers.bank.settings import BankSettings
from once.errors import Retriable
from once.kafka import Trouble

Call = Callable[[], list[Any]]


class Played:
    """A consumer that does what it is told, call by call."""

    def __init__(self, *calls: Call) -> None:
        self._calls = list(calls)
        self.asked: list[tuple[int, float]] = []

    def consume(self, most: int, seconds: float) -> list[Any]:
        self.asked.append((most, round(seconds, 2)))
        return self._calls.pop(0)()

    def memberid(self) -> str:
        return "member"

    def consumer_group_metadata(self) -> object:
        return object()


def message(partition: int, offset: int) -> Any:
    return SimpleNamespace(
        partition=lambda: partition, offset=lambda: offset, error=lambda: None
    )


def failed(partition: int) -> Any:
    """What librdkafka says of a partition whose next offset is gone."""
    gone = KafkaError(KafkaError._AUTO_OFFSET_RESET, "Offset out of range")
    return SimpleNamespace(
        partition=lambda: partition, offset=lambda: 0, error=lambda: gone
    )


def at(messages: list[Any]) -> list[tuple[int, int]]:
    return [(each.partition(), each.offset()) for each in messages]


@pytest.fixture
def reading() -> Reading:
    settings = BankSettings.model_validate(
        {
            "bootstrap_servers": "unused:1",
            "registry_url": "http://unused",
            "conninfo": "unused",
            "batch_interval_ms": 200,
        }
    )
    observer = cast(Observer, SimpleNamespace(trouble=Trouble()))
    made = Reading(settings, observer)
    made.consumer.close()
    return made


def play(reading: Reading, *calls: Call) -> Played:
    played = Played(*calls)
    reading.consumer = cast(Any, played)
    return played


def test_after_a_rest_a_batch_begins_at_once_and_the_next_one_waits(
    reading: Reading,
) -> None:
    one, two = message(0, 7), message(0, 8)
    played = play(reading, lambda: [one], list, lambda: [two], list)
    assert reading.early_seconds == 0.0
    assert at(reading.poll(lambda: 10, 0.1)) == [(0, 7)]
    assert 0.1 < reading.early_seconds <= 0.2
    assert at(reading.poll(lambda: 10, 0.0)) == [(0, 8)]
    first, second = played.asked[:2], played.asked[2:]
    assert first == [(1, 0.1), (9, 0.0)]
    assert second[0] == (1, 0.0) and second[1][0] == 9 and second[1][1] > 0.1


def test_a_full_batch_waits_for_nothing(reading: Reading) -> None:
    played = play(reading, lambda: [message(0, 7)])
    assert at(reading.poll(lambda: 1, 0.1)) == [(0, 7)]
    assert played.asked == [(1, 0.1)]


def test_what_is_taken_away_while_a_batch_gathers_is_not_given_out(
    reading: Reading,
) -> None:
    """And when it comes back at once, it is read from its position, once."""

    def away_and_back() -> list[Any]:
        reading.forget([0])
        return [message(0, 7), message(1, 3)]

    play(reading, lambda: [message(0, 7)], away_and_back)
    assert at(reading.poll(lambda: 10, 0.1)) == [(0, 7), (1, 3)]


def test_what_is_wrong_with_a_refused_partition_holds_up_no_other(
    reading: Reading,
) -> None:
    """It is not read; of one that is, the session must know."""
    play(
        reading, lambda: [message(1, 3)], lambda: [failed(0)], lambda: [failed(1)], list
    )
    reading.next = {1: 3}
    assert at(reading.poll(lambda: 10, 0.1)) == [(1, 3)]
    with pytest.raises(Retriable, match="Offset out of range"):
        reading.poll(lambda: 10, 0.1)
