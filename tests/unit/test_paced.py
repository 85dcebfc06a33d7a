"""A steady rate of requests sees what it costs that the Store stood still."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from uuid import UUID

import pytest

from loadtest.answers import Answers
from loadtest.http import STEADY_CONNECTIONS
from loadtest.paced import paced, single_puts
from producers.store.api.models import parse_line
from tests.unit.serving import Served, serving

RATE, SECONDS = 200.0, 1.2
STALL_AT, STALL_SECONDS = 0.3, 0.4  # a third of the requests meets it


def ask(served: Served, connections: int) -> Answers:
    return paced(
        "http://{}:{}".format(*served.address),
        rate=RATE,
        seconds=SECONDS,
        connections=connections,
        request=single_puts("0192f3c1"),
    )


@pytest.mark.parametrize("connections", [STEADY_CONNECTIONS, 2])
def test_a_store_that_stood_still_shows_in_the_percentile(
    tmp_path: Path, connections: int
) -> None:
    with serving(tmp_path) as served:
        changes: list[tuple[float, Callable[[], None]]] = [
            (STALL_AT, served.kafka.clear),
            (STALL_AT + STALL_SECONDS, served.kafka.set),
        ]
        timers = [Timer(after, change) for after, change in changes]
        for timer in timers:
            timer.start()
        found = ask(served, connections)
        for timer in timers:
            timer.join()
    # Two that wait for their answers would have met the stall twice in 240: 0.8 %.
    assert (found.requests, found.refused, found.broken) == (RATE * SECONDS, 0, 0)
    assert 0.8 * STALL_SECONDS * 1000 < found.p99_ms <= found.max_ms


def test_the_rate_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        found = ask(served, STEADY_CONNECTIONS)
    assert found.requests == RATE * SECONDS
    assert RATE / 2 < found.per_second <= RATE / 0.95  # and not before it is due


def test_what_is_refused_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path, rate_limit=1) as served:
        found = ask(served, STEADY_CONNECTIONS)
    assert found.refused > 0.9 * RATE * SECONDS
    assert found.broken == 0


def test_where_nobody_answers_every_request_is_broken(unused_port: int) -> None:
    found = paced(
        f"http://127.0.0.1:{unused_port}",
        rate=100,
        seconds=0.1,
        connections=2,
        request=single_puts("0192f3c1"),
    )
    assert (found.requests, found.broken) == (10, 10)


def test_every_request_is_a_payment_of_its_own() -> None:
    request = single_puts("0192f3c1")
    ids = set()
    for number in range(100):
        head, _, body = request(number).partition(b"\r\n\r\n")
        said = re.match(r"PUT /v1/transfers/(\S+) HTTP/1.1\r\n", head.decode())
        assert said is not None
        ids.add(parse_line(body, UUID(said[1])).transfer_id)
    assert len(ids) == 100
