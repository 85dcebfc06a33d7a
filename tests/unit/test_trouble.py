"""What the clients say of their connections: the most telling of it is kept."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from once.kafka import SAID_AGAIN_SECONDS, Trouble

SSL = KafkaError(KafkaError._SSL, "no shared cipher")
GONE = KafkaError(KafkaError._TRANSPORT, "connection refused")
ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "3/3 brokers are down")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("vague", [GONE, ALL_DOWN])
def test_that_nobody_is_there_hides_no_refused_handshake(vague: KafkaError) -> None:
    clock = Clock()
    trouble = Trouble(clock)
    trouble.note(vague)
    trouble.note(SSL)
    trouble.note(vague)
    assert "TLS handshake fails: no shared cipher" in str(trouble)
    clock.now += SAID_AGAIN_SECONDS + 1
    assert str(trouble) == ""
    trouble.note(vague)
    assert "reached" in str(trouble)


def test_a_broker_that_hangs_up_in_the_handshake_refuses_it() -> None:
    """A plain listener may close the connection before it sends its nonsense."""
    said = "Disconnected: SSL connection closed by peer (after 0ms in state "
    trouble = Trouble()
    trouble.note(KafkaError(KafkaError._TRANSPORT, f"{said}SSL_HANDSHAKE)"))
    assert "the TLS handshake fails: Disconnected" in str(trouble)
    trouble.note(ALL_DOWN)
    assert "TLS handshake" in str(trouble)
    later = Trouble()
    later.note(KafkaError(KafkaError._TRANSPORT, f"{said}UP)"))
    assert "a broker cannot be reached: Disconnected" in str(later)


def test_what_is_no_trouble_of_a_connection_is_not_kept() -> None:
    trouble = Trouble()
    trouble.note(KafkaError(KafkaError._TIMED_OUT))
    assert str(trouble) == ""
