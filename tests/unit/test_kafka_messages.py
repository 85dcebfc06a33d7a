"""What a consumer gives: records, and errors in their place."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from once.errors import Retriable
from once.kafka import records


class Message:
    """A message as far as it is asked."""

    def __init__(self, code: int | None = None) -> None:
        self._code = code

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)


def test_ends_of_partitions_and_what_passes_are_no_records() -> None:
    record = Message()
    codes = (KafkaError._PARTITION_EOF, KafkaError.NOT_LEADER_FOR_PARTITION)
    others = [Message(code) for code in codes]
    assert records([others[0], record, others[1]], "reading transfers") == [record]
    assert records([], "reading transfers") == []


def test_another_error_is_said_with_what_was_being_done() -> None:
    refused = Message(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Retriable, match="while reading transfers: Broker: Topic auth"):
        records([Message(), refused], "reading transfers")
