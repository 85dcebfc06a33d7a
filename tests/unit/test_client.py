"""The client asks again with pauses, as long as it is told to, and keeps its token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest

from once.errors import Defect
from producers.store import client
from producers.store.client import (
    DeadlineExceeded,
    StoreClient,
    StoreRefused,
    retry_after_seconds,
)
from producers.store.states import State
from tests.unit.scripted_store import transfer
from tests.unit.serving import serving

ID = UUID("0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c01")
NOW = "Wed, 21 Oct 2015 07:28:00 GMT"
IN_A_MINUTE = "Wed, 21 Oct 2015 07:29:00 GMT"


Answer = tuple[int, dict[str, str], bytes]


class Played:
    """A Store that gives these answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = chain(answers, repeat(answers[-1]))
        self.asked: list[float] = []  # when


def status(state: str) -> str:
    return json.dumps({"transfer_id": str(ID), "state": state})


def stream(*states: str) -> Answer:
    """Events that end in order after these."""
    body = "".join(f"event: state\ndata: {status(state)}\n\n" for state in states)
    return 200, {}, body.encode()


def refusal(code: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return code, named, b"no"


@contextmanager
def playing(played: Played) -> Iterator[str]:
    """A server that answers so, and its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            played.asked.append(time.monotonic())
            code, headers, body = next(played.answers)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def events(played: Played, deadline_seconds: float = 20.0) -> list[State]:
    with (
        playing(played) as url,
        StoreClient(url, deadline_seconds=deadline_seconds) as store,
    ):
        return [told.state for told in store.events(ID)]


def test_a_stream_that_ends_too_soon_is_asked_for_again_after_a_pause() -> None:
    played = Played(stream("committed"), stream(), stream("committed", "posted"))
    assert events(played) == [State.COMMITTED, State.COMMITTED, State.POSTED]
    first, second, third = played.asked
    assert second - first > 0.05 and third - second > 0.1


def test_a_store_that_ends_every_stream_is_left_alone_at_the_deadline() -> None:
    played = Played(stream("committed"))
    with pytest.raises(DeadlineExceeded, match="ended before the final one"):
        events(played, deadline_seconds=1.0)
    assert 2 <= len(played.asked) <= 8  # and not as often as it answers


@pytest.mark.parametrize("code", sorted(client.REPEATABLE))
def test_a_stream_that_is_refused_for_now_is_asked_for_again(code: int) -> None:
    assert events(Played(refusal(code), stream("posted"))) == [State.POSTED]


def test_a_stream_is_asked_for_again_when_the_store_said() -> None:
    played = Played(refusal(503, Retry_After="1"), stream("posted"))
    assert events(played) == [State.POSTED]
    assert played.asked[1] - played.asked[0] > 0.99


def test_a_stream_that_is_refused_for_good_is_not_asked_for_again() -> None:
    played = Played(refusal(404))
    with pytest.raises(StoreRefused):
        events(played)
    assert len(played.asked) == 1


def test_a_stream_that_was_open_for_long_begins_a_new_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_SECONDS", -1.0)  # any stream was open for long
    ends = [stream("committed")] * 4
    # Each pause is a first one; four that double would take 0.75 s at least.
    assert (
        events(Played(*ends, stream("posted")), deadline_seconds=0.5)[-1]
        is State.POSTED
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": IN_A_MINUTE, "Date": NOW}, 60),
        ({"Retry-After": NOW, "Date": IN_A_MINUTE}, 0),
        ({"Retry-After": NOW}, 0),
        ({"Retry-After": "Wednesday, 21-Oct-15 07:29:00 GMT", "Date": NOW}, 60),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-1"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "٣"}, 0),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 0),
        ({"Retry-After": "9" * 400}, float("inf")),
    ],
)
def test_when_to_ask_again_is_read_as_seconds_or_as_a_date(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_date_to_ask_again_ends_no_send() -> None:
    later = refusal(503, Retry_After=NOW)
    played = Played(later, (200, {}, status("posted").encode()))
    with playing(played) as url, StoreClient(url) as store:
        assert store.status(ID).state is State.POSTED


@pytest.mark.parametrize(
    "url", ["http://store.example:8080", "http://10.0.0.1", "HTTP://localhost.example"]
)
def test_a_token_does_not_go_over_a_network_in_the_clear(url: str) -> None:
    with pytest.raises(Defect, match=r"a token is not sent in the clear to .*https://"):
        StoreClient(url, token="secret")
    StoreClient(url).close()  # there is nothing to tell


@pytest.mark.parametrize(
    "url",
    [
        "https://store.example",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ],
)
def test_a_token_may_go_in_tls_and_on_this_machine(url: str) -> None:
    StoreClient(url, token="secret").close()


def test_on_this_machine_no_proxy_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path) as served:
        url = "http://{}:{}".format(*served.address)
        with StoreClient(url, token="secret", deadline_seconds=1.0) as store:
            assert store.send(transfer()).state is State.COMMITTED
