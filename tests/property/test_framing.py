"""However a stream of requests is cut, each is one, and none touches the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from unittest.mock import patch
from uuid import UUID

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.store.api.framing import Cutter, examined
from producers.store.api.protocol import Measured
from tests.unit.serving import PAYMENT, Served, head, serving

# What a body may look like to somebody who has lost count.
_PIECES = [b"", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x"]
bodies = st.lists(st.sampled_from(_PIECES), max_size=6).map(b"".join)
cuts = st.lists(st.sampled_from([1, 2, 3, 5, 17, 64, 1_000]), min_size=1, max_size=20)


def with_length(body: bytes) -> bytes:
    return head("PUT /a", f"Content-Length: {len(body)}") + body


@st.composite
def chunked(draw: st.DrawFn, body: st.SearchStrategy[bytes] = bodies) -> bytes:
    """The body in chunks, with all that may stand around them."""
    pieces = [each for each in draw(st.lists(body, max_size=4)) if each]
    extension = draw(st.sampled_from([b"", b";a", b";a=b"]))
    trailers = draw(st.sampled_from([b"", b"X: y\r\n", b"Host: b\r\nX: y\r\n"]))
    lines = [b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces]
    start = head("PUT /a", "Transfer-Encoding: chunked")
    return start + b"".join(lines) + b"0\r\n" + trailers + b"\r\n"


requests = st.one_of(
    st.just(head("GET /a")), bodies.map(with_length), chunked(), st.just(head("GET /"))
)


class Reader:
    """Tells the cutter what llhttp understands, as a connection does."""

    def __init__(self) -> None:
        self.cutter = Cutter()
        self.ended = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_body = False
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that this was cut into."""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            end = self.cutter.cut(data, at)
            piece, at = data[at:end], end
            assert piece, "this would go on for ever"
            pieces.append(piece)
            self._parser.feed_data(piece)
        return pieces

    def on_message_begin(self) -> None:
        self._headers, self._in_body = [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        problem, length = examined(method, version, self._headers)
        assert problem is None
        self.cutter.body(length)

    def on_message_complete(self) -> None:
        self.ended += 1
        self.cutter.head()


def segments(stream: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in cycle(sizes):
        if at >= len(stream):
            return
        yield stream[at : at + size]
        at += size


def ends(pieces: Sequence[bytes]) -> set[int]:
    """Where in the stream the pieces end."""
    found, at = set(), 0
    for piece in pieces:
        at += len(piece)
        found.add(at)
    return found


@given(st.lists(requests, min_size=1, max_size=6), cuts)
def test_pieces_are_the_stream_and_none_reaches_into_the_next_request(
    sent: list[bytes], sizes: list[int]
) -> None:
    reader = Reader()
    cut = (reader.feed(each) for each in segments(b"".join(sent), sizes))
    pieces = list(chain.from_iterable(cut))
    assert b"".join(pieces) == b"".join(sent)
    assert reader.ended == len(sent)
    assert ends(sent) <= ends(pieces), "a piece has bytes of two requests"


@given(cuts)
def test_in_one_segment_a_request_without_chunks_is_at_most_two_pieces(
    sizes: list[int],
) -> None:
    """A head and a body: whoever sends much pays little for being cut."""
    sent = [with_length(b"\r\n\r\n" * size) for size in sizes]
    assert len(Reader().feed(b"".join(sent))) == 2 * len(sent)


# -- the server ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, rate_limit=1_000_000) as served:
        yield served


ID = UUID("0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c01")
JSON = "Content-Type: application/json"
PUT = f"PUT /v1/transfers/{ID}"
SMALL = b"1\r\n{\r\n" + b"%x;x=y\r\n%s\r\n" % (len(PAYMENT) - 1, PAYMENT[1:])
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
# Each with its status, and a word of its body.
ANSWERED: list[tuple[bytes, int, bytes]] = [
    (head(PUT, JSON, f"Content-Length: {len(PAYMENT)}") + PAYMENT, 202, b"committed"),
    (
        head(PUT, JSON, "Transfer-Encoding: chunked") + SMALL + b"0\r\nX: y\r\n\r\n",
        *(202, b"committed"),
    ),
    (
        head(PUT, JSON, *UPGRADE, f"Content-Length: {len(PAYMENT)}") + PAYMENT,
        *(202, b"committed"),
    ),
    (head(PUT, JSON, "Content-Length: 1") + b"{", 400, b"malformed-json"),
    (head(PUT, JSON, "Content-Length: 4") + b"\r\n\r\n", 400, b"malformed-json"),
    (head("GET /nothing"), 404, b"not-found"),
    (head("GET /nothing", *UPGRADE), 404, b"not-found"),
    (head("GET /nothing", "Content-Length: 25") + head("GET /a")[:25], 404, b"not-f"),
    (head("DELETE /problems", "Content-Length: 0"), 405, b"method-not-allowed"),
]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(ANSWERED), min_size=1, max_size=12), cuts)
def test_requests_sent_at_once_are_answered_the_same_however_they_are_cut(
    store: Served, sent: list[tuple[bytes, int, bytes]], sizes: list[int]
) -> None:
    piece, whole = cycle(sizes), Measured.get_buffer

    def get_buffer(measured: Measured, sizehint: int) -> memoryview:
        return whole(measured, sizehint)[: next(piece)]

    with patch.object(Measured, "get_buffer", get_buffer):
        with store.connect() as connection:
            connection.send(b"".join(request for request, _, _ in sent))
            for number, (_, status, word) in enumerate(sent):
                answer = connection.answer()
                assert answer is not None, f"no answer to request {number}"
                assert (answer.status, word in answer.body) == (status, True)
            connection.send(head("GET /last", "Connection: close"))
            assert connection.statuses() == [404], "something was answered twice"


def test_a_body_full_of_blank_lines_costs_what_it_is_long() -> None:
    """Copying the rest at each of them took minutes, before any token was asked for."""
    data, cutter, at = b"\r\n\r\n" * 500_000, Cutter(), 0
    cutter.body(None)
    began = time.process_time()
    while at < len(data):
        at = cutter.cut(data, at)
    assert time.process_time() - began < 10
