"""Those who wait take nothing from those who pay, and no client all there is."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from producers.store.api.auth import READ, WRITE, Client
from producers.store.api.routes import BATCHES_MAX
from tests.unit.serving import (
    PAYMENT,
    Answer,
    Connection,
    Served,
    head,
    put,
    serving,
    until,
)

BATCH = "POST /v1/transfers:batch"
NDJSON = "Content-Type: application/x-ndjson"
JSON = "Content-Type: application/json"
ADA, GRACE = "Authorization: ada", "Authorization: grace"


async def by_name(authorization: str) -> Client:
    return Client(authorization, frozenset((WRITE, READ)), float("inf"))


def waiting(*headers: str, seconds: int = 30) -> bytes:
    """A PUT that waits for a verdict, which does not come: there is no Bank."""
    length = f"Content-Length: {len(PAYMENT)}"
    line = f"PUT /v1/transfers/{uuid4()}?wait={seconds}"
    return head(line, JSON, length, *headers) + PAYMENT


def asked(connection: Connection, request: bytes) -> Answer:
    connection.send(request)
    answer = connection.answer()
    assert answer is not None
    return answer


def pending(served: Served, *headers: str) -> str:
    """The path of a transfer that has no verdict."""
    path = f"/v1/transfers/{uuid4()}"
    request = head(f"PUT {path}", f"Content-Length: {len(PAYMENT)}", JSON, *headers)
    with served.connect() as connection:
        assert asked(connection, request + PAYMENT).status == 202
    return path


def sent(served: Served, open_: ExitStack, request: bytes) -> Connection:
    connection = open_.enter_context(served.connect())
    connection.send(request)
    return connection


def streams(
    served: Served, open_: ExitStack, path: str, count: int
) -> list[Connection]:
    """So many open event streams, each of which has said how far it is."""
    found = [sent(served, open_, head(f"GET {path}/events")) for _ in range(count)]
    for connection in found:
        assert connection.head() == 200
        assert b'"committed"' in connection.piece()
    return found


# -- bulkheads -------------------------------------------------------------------------
def test_above_the_limit_who_would_wait_has_the_answer_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, waiting_max=3) as served, ExitStack() as open_:
        for _ in range(3):
            sent(served, open_, waiting())
        until(lambda: len(served.watchers) == 3, "three wait")
        with served.connect() as connection:
            began = time.monotonic()
            answer = asked(connection, waiting())
            assert answer.status == 202 and b'"committed"' in answer.body
            assert time.monotonic() - began < 5
            path = pending(served)
            refused = asked(connection, head(f"GET {path}/events"))
        assert refused.problem()["code"] == "busy" and refused.status == 503
        assert refused.headers["retry-after"] == "1"
        open_.close()
        until(lambda: not len(served.watchers), "nobody waits")
        with ExitStack() as again:
            streams(served, again, path, 3)


def test_who_pays_is_served_beside_any_number_of_those_who_wait(tmp_path: Path) -> None:
    """Each of them had a place of those for requests."""
    with serving(tmp_path, requests_max=2) as served, ExitStack() as open_:
        path = pending(served)
        for _ in range(5):
            connection = sent(served, open_, waiting())
            until(lambda: len(served.watchers) > 0, "it waits")
            assert connection.quiet(0.05)
        streams(served, open_, path, 5)
        with served.connect() as connection:
            for _ in range(3):
                assert asked(connection, put()).status == 202


# -- clients that hang up --------------------------------------------------------------
def test_clients_that_hang_up_leave_nobody_watching_and_no_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path) as served, capture_logs() as logged:
        with ExitStack() as open_:
            for _ in range(10):
                sent(served, open_, waiting())
            for _ in range(10):
                streams(served, open_, pending(served), 1)
            until(lambda: len(served.watchers) == 20, "all wait")
        until(lambda: len(served.watchers) == 0, "nobody waits")
        until(lambda: not served.protocols(), "all connections are closed")
    assert not logged and not caplog.records


def test_clients_that_reset_leave_nobody_watching(tmp_path: Path) -> None:
    at_once = struct.pack("ii", 1, 0)
    with serving(tmp_path) as served, capture_logs() as logged:
        with ExitStack() as open_:
            for _ in range(5):
                for request in (waiting(), head(f"GET {pending(served)}/events")):
                    connection = sent(served, open_, request).socket
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            until(lambda: len(served.watchers) == 10, "all wait")
        until(lambda: len(served.watchers) == 0, "nobody waits")
    assert not logged


# -- ends ------------------------------------------------------------------------------
def test_a_stream_that_has_lasted_long_enough_ends_in_order(tmp_path: Path) -> None:
    """With its last chunk, and the connection goes on."""
    with serving(tmp_path, events_seconds_max=0.3) as served, capture_logs() as logged:
        path = pending(served)
        with served.connect() as connection:
            for _ in range(2):
                began = time.monotonic()
                answer = asked(connection, head(f"GET {path}/events"))
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert answer.body.startswith(b"event: state\ndata: {")
                assert answer.body.endswith(b"\n\n")
                assert 0.25 < time.monotonic() - began < 5
            assert asked(connection, put()).status == 202
        assert len(served.watchers) == 0
    assert not logged


def test_a_wait_ends_with_what_is_known_by_then(tmp_path: Path) -> None:
    with serving(tmp_path, wait_seconds_max=0.3) as served:
        with served.connect() as connection:
            began = time.monotonic()
            answer = asked(connection, waiting(seconds=30))
            assert answer.status == 202 and b'"committed"' in answer.body
            assert 0.25 < time.monotonic() - began < 5
            assert asked(connection, put()).status == 202
        assert len(served.watchers) == 0


# -- shares ----------------------------------------------------------------------------
def test_of_the_places_for_requests_no_client_has_more_than_its_share(
    tmp_path: Path,
) -> None:
    with (
        serving(tmp_path, by_name, requests_max=4, client_share=0.5) as served,
        ExitStack() as open_,
    ):
        served.kafka.clear()
        first = [sent(served, open_, put(ADA)) for _ in range(2)]
        until(lambda: served.asked() == 2, "hers are there")
        assert_over_the_share(served, put(ADA))
        hers = sent(served, open_, put(GRACE))
        until(lambda: served.asked() == 3, "it waits for Kafka, too")
        served.kafka.set()
        for connection in (*first, hers):
            answer = connection.answer()
            assert answer is not None and answer.status == 202
        with served.connect() as connection:
            assert asked(connection, put(ADA)).status == 202


def test_of_the_places_to_wait_no_client_has_more_than_its_share(
    tmp_path: Path,
) -> None:
    with (
        serving(tmp_path, by_name, waiting_max=4, client_share=0.5) as served,
        ExitStack() as open_,
    ):
        for _ in range(2):
            sent(served, open_, waiting(ADA))
        until(lambda: len(served.watchers) == 2, "she waits twice")
        with served.connect() as connection:
            assert asked(connection, waiting(ADA)).status == 202, "at once"
        path = pending(served, ADA)
        assert_over_the_share(served, head(f"GET {path}/events", ADA))
        hers = sent(served, open_, waiting(GRACE))
        until(lambda: len(served.watchers) == 3, "somebody else waits")
        assert hers.quiet(0.05)


def test_of_the_places_for_batches_no_client_has_more_than_its_share(
    tmp_path: Path,
) -> None:
    begun = [NDJSON, "Content-Length: 1"]
    with serving(tmp_path, by_name, client_share=0.5) as served, ExitStack() as open_:
        for _ in range(BATCHES_MAX):
            assert sent(served, open_, head(BATCH, ADA, *begun)).head() == 200
        assert_over_the_share(served, head(BATCH, ADA, *begun))
        assert sent(served, open_, head(BATCH, GRACE, *begun)).head() == 200


def test_in_a_demo_all_are_one_client_that_may_have_all(tmp_path: Path) -> None:
    with (
        serving(tmp_path, waiting_max=4, client_share=0.5) as served,
        ExitStack() as open_,
    ):
        for _ in range(4):
            sent(served, open_, waiting())
        until(lambda: len(served.watchers) == 4, "all wait")


def assert_over_the_share(served: Served, request: bytes) -> None:
    with served.connect() as connection:
        refused = asked(connection, request)
    assert refused.problem()["code"] == "busy" and refused.status == 503
    assert "of one client" in refused.problem()["detail"]
    assert refused.headers["retry-after"] == "1"
