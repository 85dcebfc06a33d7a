"""What a client may send: limits hold, whoever keeps them notices nothing of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from producers.store.api.auth import READ, WRITE, Client
from producers.store.api.limits import RateLimit
from producers.store.problems import Kind, Problem
from tests.unit.serving import (
    PAYMENT,
    Connection,
    Served,
    head,
    put,
    put_chunked,
    serving,
)

RECEIVE_SECONDS = 0.5
BODY_BYTES = 16_384
MANY = [f"X-{number}: y" for number in range(2_000)]
BATCH = "POST /v1/transfers:batch"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    with serving(
        folder, receive_seconds_max=RECEIVE_SECONDS, body_bytes_max=BODY_BYTES
    ) as served:
        yield served


@pytest.fixture
def connection(store: Served) -> Iterator[Connection]:
    with store.connect() as connection:
        yield connection
    store.kafka.set()


def assert_accepted(connection: Connection) -> None:
    answer = connection.answer()
    assert answer is not None and answer.status == 202
    assert json.loads(answer.body)["state"] == "committed"


# -- headers ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "request_",
    [
        put("X: " + "a" * 17_000),
        put("X: " + "a" * 2_000_000),
        put(*MANY),
        put(*["a:"] * 4_000),
        head("GET /" + "a" * 17_000),
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000,
        b"GET /" + b"a" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300_000,
    ],
    ids=[
        "one huge header",
        "one that fills all buffers",
        "many headers",
        "many that are next to nothing",
        "a huge URL",
        "a line that never ends",
        "a URL that never ends",
        "headers that never end",
    ],
)
def test_headers_over_the_limit_are_refused_and_the_connection_ends(
    connection: Connection, request_: bytes
) -> None:
    connection.send(request_)
    answer = connection.answer()
    assert answer is not None and answer.status == 431
    assert answer.headers["connection"] == "close"
    assert connection.answer() is None


def test_headers_below_the_limit_pass(connection: Connection) -> None:
    connection.send(put("X: " + "a" * 15_000))
    assert_accepted(connection)


def test_a_body_right_behind_the_headers_does_not_count_as_headers(
    connection: Connection,
) -> None:
    """Not even if the packets are cut inside the line that ends the headers."""
    lines = b"\n" * 100_000
    media_type = "Content-Type: application/x-ndjson"
    request = head(BATCH, f"Content-Length: {len(lines)}", media_type)
    connection.send(request[:-1])
    assert connection.quiet(0.1)
    connection.send(request[-1:] + lines)
    answer = connection.answer()
    assert answer is not None and (answer.status, answer.body) == (200, b"")


def test_a_header_that_trickles_is_ended(connection: Connection) -> None:
    began = time.monotonic()
    for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000:
        connection.send(bytes([byte]))
        if not connection.quiet(0.02):
            break
    assert RECEIVE_SECONDS * 0.9 < time.monotonic() - began < RECEIVE_SECONDS * 6
    assert connection.statuses() == [408]


def test_a_connection_that_says_nothing_is_ended(connection: Connection) -> None:
    assert connection.statuses() == [408]


def test_trailers_are_no_headers(connection: Connection) -> None:
    connection.send(put_chunked(trailers=b"Content-Type: text/plain\r\n"))
    assert_accepted(connection)


def test_trailers_that_never_end_are_refused(connection: Connection) -> None:
    whole = put_chunked(trailers=b"X: y\r\n" * 300_000)
    connection.send(whole[:-2])
    assert connection.statuses() == [431]


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        head("GET /", "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        put_chunked().replace(b"\r\n\r\n", b"\r\n\r\nno size\r\n", 1),
    ],
)
def test_what_is_no_http_is_refused_without_a_line_in_the_log(
    connection: Connection, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    connection.send(request_)
    assert connection.statuses() == [400]
    assert not caplog.records


# -- keep-alive and pipelining ---------------------------------------------------------
def test_a_connection_serves_one_request_after_the_other(
    connection: Connection,
) -> None:
    for request in (put(), put_chunked(), put("X: " + "a" * 10_000)) * 3:
        connection.send(request)
        assert_accepted(connection)


def test_requests_sent_at_once_are_answered_in_turn(connection: Connection) -> None:
    connection.send(put() + head("GET /nothing") + put_chunked() + put(body=b"{"))
    connection.send(put("Connection: close"))
    assert connection.statuses() == [202, 404, 202, 400, 202]


def test_the_clock_of_one_request_does_not_end_the_next(
    store: Served, connection: Connection
) -> None:
    connection.send(put())
    assert_accepted(connection)
    assert connection.quiet(RECEIVE_SECONDS * 1.5), "an idle connection stays"
    store.kafka.clear()
    connection.send(put())
    assert connection.quiet(RECEIVE_SECONDS * 1.5), "the answer takes what it takes"
    store.kafka.set()
    assert_accepted(connection)


@pytest.mark.parametrize(
    ("behind", "refusal"),
    [(put(*MANY), 431), (b"GET / HT", 408), (b"nonsense\r\n\r\n", 400)],
)
def test_what_is_refused_does_not_take_the_answer_of_what_was_sent_before(
    store: Served, connection: Connection, behind: bytes, refusal: int
) -> None:
    store.kafka.clear()
    connection.send(put() + behind[:1])
    assert connection.quiet(0.1)
    connection.send(behind[1:])
    assert connection.quiet(RECEIVE_SECONDS * 1.5)
    store.kafka.set()
    assert connection.statuses() == [202, refusal]


def test_a_body_whose_request_has_its_answer_is_read_to_its_end(
    connection: Connection,
) -> None:
    connection.send(head("PUT /nothing", "Content-Length: 200000"))
    answer = connection.answer()
    assert answer is not None and answer.status == 404
    connection.send(b"x" * 200_000 + put())
    assert_accepted(connection)


@pytest.mark.parametrize("then", [b"", b"x", b"x" * 10])
def test_a_request_that_has_its_answer_does_not_hold_the_connection_for_ever(
    connection: Connection, then: bytes
) -> None:
    """Wherever it stops: before, in or after its body."""
    connection.send(head("PUT /nothing", "Content-Length: 10"))
    answer = connection.answer()
    assert answer is not None and answer.status == 404
    connection.send(then)
    began = time.monotonic()
    assert connection.statuses() in ([], [408])
    assert time.monotonic() - began < RECEIVE_SECONDS * 4


# -- bodies ----------------------------------------------------------------------------
def test_a_body_that_stalls_is_a_problem_and_the_connection_ends(
    connection: Connection,
) -> None:
    connection.send(put()[:-1])
    answer = connection.answer()
    assert answer is not None and answer.problem()["code"] == "request-timeout"
    assert answer.status == 408 and connection.answer() is None


@pytest.mark.parametrize("make", [put, put_chunked])
@pytest.mark.parametrize("size", [BODY_BYTES + 1, 5_000_000])
def test_a_body_over_the_limit_is_a_problem_however_much_it_is(
    connection: Connection, make: Callable[..., bytes], size: int
) -> None:
    """Also to a client that does not look up until all is sent."""
    connection.send(make(body=PAYMENT + b" " * (size - len(PAYMENT))))
    answer = connection.answer()
    assert answer is not None and answer.problem()["code"] == "too-large"
    assert answer.status == 413 and connection.answer() is None


@pytest.mark.parametrize("make", [put, put_chunked])
def test_a_body_of_the_very_size_passes(
    connection: Connection, make: Callable[..., bytes]
) -> None:
    connection.send(make(body=PAYMENT + b" " * (BODY_BYTES - len(PAYMENT))))
    assert_accepted(connection)


# -- many at once, and too often -------------------------------------------------------
def test_too_many_requests_at_once_are_told_so_and_the_first_ones_complete(
    tmp_path: Path,
) -> None:
    def send(_: int) -> tuple[int, str | None]:
        with served.connect() as connection:
            connection.send(put())
            answer = connection.answer()
        assert answer is not None
        if answer.status != 202:
            assert answer.problem()["code"] == "busy"
        return answer.status, answer.headers["retry-after"]

    with serving(tmp_path, requests_max=2) as served, ThreadPoolExecutor(5) as threads:
        served.kafka.clear()
        sent = as_completed([threads.submit(send, number) for number in range(5)])
        assert [next(sent).result() for _ in range(3)] == [(503, "1")] * 3
        served.kafka.set()
        assert [each.result() for each in sent] == [(202, None)] * 2
        ended = [served.ended.get(timeout=5)[2] for _ in range(5)]
        assert ended == [503] * 3 + [202] * 2, "all of them are measured"


async def by_name(authorization: str) -> Client:
    return Client(authorization, frozenset((WRITE, READ)), float("inf"))


def test_a_client_over_its_rate_waits_and_touches_no_other(tmp_path: Path) -> None:
    with serving(tmp_path, by_name, rate_limit=1) as served:
        with served.connect() as connection:
            connection.send(put("Authorization: ada") * 2)
            assert_accepted(connection)
            refused = connection.answer()
            connection.send(put("Authorization: grace"))
            assert_accepted(connection)
    assert refused is not None and refused.status == 429
    assert refused.problem()["code"] == "too-many-requests"
    assert refused.headers["retry-after"] == "1"


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_counts_transfers_not_calls() -> None:
    rates = RateLimit(1_000, Clock())
    rates.take("ada", 999)
    rates.take("ada")
    with pytest.raises(Problem) as caught:
        rates.take("ada")
    assert caught.value.kind is Kind.TOO_MANY
    rates.take("grace", 1_000)


def test_a_client_that_waited_may_send_as_much_as_it_waited() -> None:
    clock = Clock()
    rates = RateLimit(10, clock)
    rates.take("ada", 10)
    clock.now += 0.5
    rates.take("ada", 5)
    with pytest.raises(Problem) as caught:
        rates.take("ada", 10)
    assert caught.value.retry_after_seconds == 1
    clock.now += 60
    rates.take("ada", 10)  # rest is not saved up beyond a second's worth
    with pytest.raises(Problem):
        rates.take("ada")


def test_what_was_refused_is_not_booked() -> None:
    rates = RateLimit(10, Clock())
    with pytest.raises(Problem):
        rates.take("ada", 11)
    rates.take("ada", 10)
