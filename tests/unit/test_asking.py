"""A question to the brokers is asked again while the answer is "later"."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from once.asking import ask
from once.errors import Retriable
from once.kafka import passes

LATER = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._TRANSPORT,
)


class Brokers:
    """Answer a question after so many errors."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def answer(self) -> str:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return "answer"


@pytest.mark.parametrize("code", LATER)
def test_what_passes_is_asked_again(code: int) -> None:
    assert ask(Brokers(code, code).answer, "asking", 30) == "answer"


def test_what_does_not_pass_is_said_at_once() -> None:
    brokers = Brokers(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Retriable, match="while asking: .*uthorization"):
        ask(brokers.answer, "asking", 30)


def test_the_last_answer_is_said_when_the_time_is_over() -> None:
    brokers = Brokers(*[KafkaError.FENCED_LEADER_EPOCH] * 9)
    with pytest.raises(Retriable, match="while asking: .*epoch"):
        ask(brokers.answer, "asking", 0.2)
    assert brokers.codes, "it was not asked for ever"


def test_an_error_of_a_message_that_passes_is_known_by_its_code() -> None:
    error = KafkaError(KafkaError.FENCED_LEADER_EPOCH)
    assert not error.retriable() and passes(error)
    assert not passes(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))
