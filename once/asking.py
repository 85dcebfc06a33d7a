"""Questions to brokers that change nothing: asked again while they say "later".

librdkafka asks the leader that it knows. Just after a broker died or came back that one
says so, and the client learns who leads now, but it is the caller who must ask again
(`rd_kafka_handle_ListOffsets`, and the administrative client, which never does).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaException

from once.backoff import pauses
from once.errors import Retriable
from once.kafka import Trouble, passes

T = TypeVar("T")

PAUSE_SECONDS_MAX = 1.0


def ask(
    call: Callable[[], T],
    doing: str,
    seconds_max: float,
    trouble: Trouble | None = None,
) -> T:
    """What `call` returns, which is asked for so many seconds at most.

    `doing` completes "while ...". Raises Retriable when they are over, and at once for
    an error that does not pass by itself.
    """
    until = time.monotonic() + seconds_max
    for pause in pauses(max_seconds=PAUSE_SECONDS_MAX):
        try:
            return call()
        except KafkaException as raised:
            error = raised.args[0]
            if not passes(error) or time.monotonic() + pause > until:
                raise Retriable(
                    f"while {doing}: {error.str()}{trouble or ''}"
                ) from raised
        time.sleep(pause)  # nothing tells a client that a leader is known again
    raise AssertionError("pauses do not end")
