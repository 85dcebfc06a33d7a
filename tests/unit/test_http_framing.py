"""What two parsers ever understood in two ways is one problem, and the end.

A request that somebody hides behind another one, from a proxy that reads it in another
way, has no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.unit.serving import (
    PAYMENT,
    Answer,
    Connection,
    Served,
    head,
    put,
    put_chunked,
    serving,
)

PUT = f"PUT /v1/transfers/{uuid4()}"
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
LENGTH = len(PAYMENT)
BODY = b"%x\r\n%s\r\n0\r\n\r\n" % (LENGTH, PAYMENT)
HIDDEN = head("GET /problems")
UPGRADES = [
    ("Connection: Upgrade", "Upgrade: h2c"),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAA"),
    ("Connection: keep-alive, Upgrade", "Upgrade: websocket"),
    ("Upgrade: h2c", "Upgrade: websocket", "Connection: upgrade"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("store"), receive_seconds_max=0.5) as served:
        yield served


@pytest.fixture
def connection(store: Served) -> Iterator[Connection]:
    with store.connect() as connection:
        yield connection


def raw(line: str, *headers: str) -> bytes:
    """A head without anything that is not said."""
    return "\r\n".join((line, *headers, "", "")).encode("latin-1")


def sized(*headers: str) -> bytes:
    return head(PUT, JSON, *headers) + PAYMENT


def chunks(*headers: str, body: bytes = BODY) -> bytes:
    return head(PUT, JSON, *headers) + body


def twice(name: str, *values: str) -> bytes:
    return head(PUT, *(f"{name}: {value}" for value in values))


AMBIGUOUS = {
    "a length and chunks": chunks(f"Content-Length: {LENGTH}", CHUNKED),
    "chunks and a length": chunks(CHUNKED, "Content-Length: 4"),
    "chunks in HTTP/1.0": chunks(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "two lengths": sized(f"Content-Length: {LENGTH}", "Content-Length: 1"),
    "the same length twice": sized(*[f"Content-Length: {LENGTH}"] * 2),
    "a length with a sign": sized(f"Content-Length: +{LENGTH}"),
    "a length that is negative": sized("Content-Length: -1"),
    "a length in hex": sized("Content-Length: 0x4c"),
    "a list of lengths": sized(f"Content-Length: {LENGTH}, {LENGTH}"),
    "a length of 23 digits": sized("Content-Length: 99999999999999999999999"),
    "chunked and then identity": chunks("Transfer-Encoding: chunked, identity"),
    "chunked twice": chunks(CHUNKED, CHUNKED),
    "chunked after VT": chunks("Transfer-Encoding: \x0bchunked"),
    "a space before the colon": chunks("Transfer-Encoding : chunked"),
    "a folded header": sized("X: b\r\n c", f"Content-Length: {LENGTH}"),
    "bare LF": sized(f"Content-Length: {LENGTH}").replace(b"\r\n", b"\n"),
    "a bare CR": sized("X: b\rY: c", f"Content-Length: {LENGTH}"),
    "NUL in a header": sized("X: b\0c", f"Content-Length: {LENGTH}"),
    "a chunk size in 0x": chunks(CHUNKED, body=b"0x" + BODY),
    "a chunk size below zero": chunks(CHUNKED, body=b"-1\r\n" + PAYMENT),
    "a chunk size of 17 digits": chunks(CHUNKED, body=b"f" * 17 + b"\r\n"),
    "a chunk size and a space": chunks(
        CHUNKED, body=BODY.replace(b"\r\n", b" \r\n", 1)
    ),
    "no chunk size": chunks(CHUNKED, body=b"\r\n" + BODY),
    "chunks between LFs": chunks(CHUNKED, body=BODY.replace(b"\r\n", b"\n")),
    "LF in an extension": chunks(CHUNKED, body=BODY.replace(b"\r\n", b";a\nb\r\n", 1)),
    "a chunk longer than it says": chunks(CHUNKED, body=b"1\r\nxx\r\n0\r\n\r\n"),
    "a trailer with a length": put_chunked(trailers=b"Content-Length: 5\r\n"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    "an unknown method": raw("FOO / HTTP/1.1", "Host: store"),
    "bytes over 127 in the path": raw("GET /\xe9 HTTP/1.1", "Host: store"),
    "a space in the path": raw("GET /a b HTTP/1.1", "Host: store"),
    "no Host": raw("GET /problems HTTP/1.1"),
    "two Hosts": raw("GET /problems HTTP/1.1", "Host: store", "Host: evil.example"),
    "a Host that is a sentence": raw("GET /problems HTTP/1.1", "Host: a store/x"),
    "a user in the Host": raw("GET /problems HTTP/1.1", "Host: ada@store"),
    "two Authorizations": twice("Authorization", "Bearer a", "Bearer b"),
    "two Idempotency-Keys": twice("Idempotency-Key", "a", "b"),
    "two Content-Types": twice("Content-Type", "application/json", "text/plain"),
    "two Content-Encodings": twice("Content-Encoding", "identity", "gzip"),
    "two Origins": twice("Origin", "http://localhost", "http://evil.example"),
    "two Request-Timeouts": twice("Request-Timeout", "1", "2"),
}
REFUSED = {
    "gzip, chunked": (chunks("Transfer-Encoding: gzip, chunked"), "not-implemented"),
    "xchunked": (chunks("Transfer-Encoding: xchunked"), "not-implemented"),
    "identity": (chunks("Transfer-Encoding: identity"), "not-implemented"),
    "CONNECT": (raw("CONNECT a:443 HTTP/1.1", "Host: a:443"), "not-implemented"),
    "CONNECT with a body": (
        raw("CONNECT a:443 HTTP/1.1", "Host: a:443", f"Content-Length: {LENGTH}"),
        "not-implemented",
    ),
    "CONNECT with Upgrade": (
        raw("CONNECT a:443 HTTP/1.1", "Host: a:443", *UPGRADES[0]),
        "not-implemented",
    ),
    "HTTP/0.9": (b"GET /problems\r\n\r\n", "http-version-not-supported"),
    "HTTP/1.2": (raw("GET / HTTP/1.2", "Host: a"), "bad-request"),
    "HTTP/2.0": (raw("GET / HTTP/2.0", "Host: a"), "http-version-not-supported"),
    **{name: (data, "bad-request") for name, data in AMBIGUOUS.items()},
}
STATUSES = {"bad-request": 400, "not-implemented": 501}


def assert_is_the_end(connection: Connection, answer: Answer | None, code: str) -> None:
    """One whole problem document, and nothing more."""
    assert answer is not None
    assert answer.problem()["code"] == code
    assert answer.status == STATUSES.get(code, 505)
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert connection.answer() is None


@pytest.mark.parametrize(("request_", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_one_problem_and_what_hides_behind_it_has_no_answer(
    connection: Connection, request_: bytes, code: str
) -> None:
    connection.send(request_ + HIDDEN)
    assert_is_the_end(connection, connection.answer(), code)


@pytest.mark.parametrize(("request_", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_told_behind_the_answer_of_what_came_before_it(
    connection: Connection, request_: bytes, code: str
) -> None:
    connection.send(put() + request_ + HIDDEN)
    taken = connection.answer()
    assert taken is not None and taken.status == 202
    assert_is_the_end(connection, connection.answer(), code)


# -- HTTP/1.0 --------------------------------------------------------------------------
@pytest.mark.parametrize("host", [["Host: store"], []], ids=["a host", "no host"])
def test_http_1_0_is_answered_once(connection: Connection, host: list[str]) -> None:
    connection.send(raw("GET /nothing HTTP/1.0", *host) + HIDDEN)
    assert connection.statuses() == [404]


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/transfers/0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c77/events",
        "POST /v1/transfers:batch",
    ],
)
def test_http_1_0_has_no_streams(connection: Connection, line: str) -> None:
    connection.send(raw(f"{line} HTTP/1.0"))
    answer = connection.answer()
    assert answer is not None and answer.status == 505
    assert answer.problem()["code"] == "http-version-not-supported"


# -- Upgrade ---------------------------------------------------------------------------
@pytest.mark.parametrize("upgrade", UPGRADES, ids=" ".join)
@pytest.mark.parametrize("gap", [False, True], ids=["at once", "later"])
def test_a_body_behind_an_upgrade_is_a_body(
    connection: Connection, upgrade: tuple[str, ...], gap: bool
) -> None:
    connection.send(head(PUT, JSON, f"Content-Length: {len(HIDDEN)}", *upgrade))
    if gap:
        assert connection.quiet(0.05)
    connection.send(HIDDEN + head("GET /last", "Connection: close"))
    assert connection.statuses() == [400, 404]


@pytest.mark.parametrize("upgrade", UPGRADES, ids=" ".join)
@pytest.mark.parametrize("make", [put, put_chunked])
def test_a_payment_with_an_upgrade_is_taken_as_if_without(
    connection: Connection, upgrade: tuple[str, ...], make: Callable[..., bytes]
) -> None:
    connection.send(make(*upgrade) * 2 + head("GET /last", "Connection: close"))
    assert connection.statuses() == [202, 202, 404]


# -- bodies of requests that have none, and what is behind the last one ----------------
@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE", "OPTIONS", "TRACE"])
def test_a_body_of_a_request_that_needs_none_is_no_request(
    connection: Connection, method: str
) -> None:
    connection.send(head(f"{method} /nothing", f"Content-Length: {len(HIDDEN)}"))
    connection.send(HIDDEN + head("GET /last", "Connection: close"))
    first = connection.answer(bare=method == "HEAD")
    assert first is not None and first.status in (404, 405)
    assert connection.statuses() == [404]


def test_a_request_behind_the_last_one_has_no_answer(connection: Connection) -> None:
    connection.send(put("Connection: close") + HIDDEN)
    assert connection.statuses() == [202]


def test_a_hundred_payments_in_one_go_are_all_answered(connection: Connection) -> None:
    payments = b"".join(put() for _ in range(99))
    connection.send(payments + put("Connection: close"))
    assert connection.statuses() == [202] * 100


def test_a_client_that_asks_first_is_told_to_go_on(connection: Connection) -> None:
    request = put("Expect: 100-continue")
    connection.send(request[:-LENGTH])
    assert connection.head() == 100
    connection.send(request[-LENGTH:])
    answer = connection.answer()
    assert answer is not None and answer.status == 202
