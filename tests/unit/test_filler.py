"""What the filler takes for the end of a gap."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from producers.store.facts import Place, Range
from producers.store.filler import within
from producers.store.reading import Delivered

HERE, THERE = ("results", 0), ("results", 1)
GAPS = {HERE: Range(Place("v", 0), 10, 20), THERE: Range(Place("v", 1), 0, 5)}


class Ends(Consumer):
    """A consumer that knows where the log ends, and nothing else."""

    def __init__(self, end: int) -> None:
        super().__init__({"group.id": "test"})
        self._end = end

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, self._end


def record(offset: int, partition: int = 0) -> Delivered:
    message = Message(topic="results", partition=partition, offset=offset, value=b"")
    return cast(Delivered, message)


def end(offset: int, code: int = KafkaError._PARTITION_EOF) -> Delivered:
    return failed(KafkaError(code), offset)


def failed(error: KafkaError, offset: int = 0) -> Delivered:
    message = Message(topic="results", partition=0, offset=offset, error=error)
    return cast(Delivered, message)


def looked_at(
    *messages: Delivered, log_end: int = 1_000
) -> tuple[list[int], dict[Any, int]]:
    consumer = Ends(log_end)
    records, reached = within(cast(Consumer, consumer), messages, GAPS)
    consumer.close()
    return [each.offset() for each in records], reached


def test_records_in_a_gap_are_taken_and_those_behind_it_end_it() -> None:
    assert looked_at(record(10), record(15)) == ([10, 15], {HERE: 16})
    assert looked_at(record(19)) == ([19], {HERE: 20})
    assert looked_at(record(12), record(20), record(21)) == ([12], {HERE: 20})
    assert looked_at(record(25), record(3, partition=1)) == ([3], {HERE: 20, THERE: 4})


def test_the_end_of_the_log_ends_a_gap_only_where_it_reaches_it() -> None:
    assert looked_at(record(12), end(20)) == ([12], {HERE: 20})
    assert looked_at(record(12), end(15)) == ([12], {HERE: 13}), "a transaction is open"
    assert looked_at(end(15)) == ([], {HERE: 10})
    assert looked_at(end(15), log_end=15) == ([], {HERE: 20}), "there is no more of it"


def test_what_comes_of_a_partition_that_was_given_up_is_left_out() -> None:
    assert looked_at(record(7, partition=2)) == ([], {})


def test_an_error_is_waited_out_or_begins_anew() -> None:
    passing = KafkaError(KafkaError.REQUEST_TIMED_OUT, "slow", retriable=True)
    assert looked_at(failed(passing)) == ([], {})
    with pytest.raises(KafkaException):
        looked_at(end(0, KafkaError.TOPIC_AUTHORIZATION_FAILED))
