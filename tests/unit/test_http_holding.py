"""What one client may hold, and for how long: memory, places, connections."""

from __future__ import annotations

import json
import socket
import ssl
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme

from producers.store.api import batch
from producers.store.api.connections import Connections
from producers.store.api.limits import PAGES_MAX
from producers.store.api.protocol import Measured
from producers.store.api.routes import BATCHES_MAX
from tests.unit.serving import FIELDS, Connection, Served, head, put, serving, until

SECONDS = 0.4
LARGE_FILE = "GET /static-offline-docs/swagger-ui-bundle.js"  # 1.5 MB, for everybody
BATCH = "POST /v1/transfers:batch"
NDJSON = "Content-Type: application/x-ndjson"
MIB = 1 << 20
PAYMENT_LINE = json.dumps({**FIELDS, "transfer_id": str(uuid4())}).encode() + b"\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, receive_seconds_max=SECONDS) as served:
        yield served


def who_does_not_read(served: Served) -> Connection:
    """A client whose kernel takes next to nothing on its behalf."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.settimeout(20)
    made.connect(served.address)
    return Connection(made)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel of the Store takes next to nothing, too: what is left is its own."""
    made = Measured.connection_made

    def connection_made(measured: Measured, transport: Any) -> None:
        accepted = transport.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        made(measured, transport)

    monkeypatch.setattr(Measured, "connection_made", connection_made)


def as_much_as_it_takes(connection: Connection, data: bytes, seconds: float) -> int:
    """Bytes that could be sent before nothing was taken for so long."""
    sent = 0
    connection.socket.settimeout(seconds)
    with suppress(TimeoutError, ConnectionError):
        while sent < len(data):
            sent += connection.socket.send(data[sent : sent + 16_384])
    return sent


def stuck(served: Served) -> int:
    """How many connections have an answer that their client does not take."""
    return sum(each.flow.write_paused for each in served.protocols())


def assert_is_ended(connection: Connection) -> None:
    """Without the client's doing: by a close or a reset, and soon."""
    connection.socket.settimeout(SECONDS * 20)
    with suppress(ConnectionError):
        while connection.socket.recv(1 << 20):
            pass


# -- pipelines -------------------------------------------------------------------------
def test_a_stranger_who_pipelines_and_does_not_read_costs_little(
    tmp_path: Path, narrow: None
) -> None:
    """Each request became objects at once: 250 KB were 29 MiB."""
    behind = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000
    with serving(tmp_path) as served, ExitStack() as open_:
        # Once for what is loaded with the first request.
        with served.connect() as first:
            first.send(head(LARGE_FILE, "Connection: close"))
            assert first.statuses() == [200]
        tracemalloc.start()
        try:
            for _ in range(4):
                connection = open_.enter_context(who_does_not_read(served))
                as_much_as_it_takes(connection, head(LARGE_FILE) * 2 + behind, 0.2)
            until(lambda: stuck(served) == 4, "they wait for their clients")
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < 4 * MIB // 2, f"{kept} bytes for four connections"


def test_what_is_sent_behind_a_request_is_read_no_further(store: Served) -> None:
    """The kernel keeps the rest, and its sender waits."""
    store.kafka.clear()
    try:
        with store.connect() as connection:
            lines = b"GET / HTTP/1.1\r\nHost: store\r\n\r\n" * 400_000
            sent = as_much_as_it_takes(connection, put() + lines, 0.3)
            assert sent < len(lines)
            (protocol,) = store.protocols()
            assert len(protocol.unread) <= 2 * 16_384
    finally:
        store.kafka.set()


# -- answers that nobody takes ---------------------------------------------------------
def test_a_client_that_does_not_read_its_answer_is_ended(
    store: Served, narrow: None
) -> None:
    with who_does_not_read(store) as connection:
        began = time.monotonic()
        connection.send(head(LARGE_FILE))
        assert connection.head() == 200
        until(lambda: not store.protocols(), "it is gone")
        assert SECONDS * 0.9 < time.monotonic() - began < SECONDS * 10
        assert_is_ended(connection)


def test_a_client_that_reads_slowly_but_reads_gets_all(
    store: Served, narrow: None
) -> None:
    with who_does_not_read(store) as connection:
        connection.send(head(LARGE_FILE, "Connection: close"))
        assert connection.head() == 200
        size, began = 0, time.monotonic()
        while piece := connection.socket.recv(4_096):
            size += len(piece)
            if time.monotonic() - began < 4 * SECONDS:
                time.sleep(0.05)
    assert size > MIB


def test_those_who_read_pages_slowly_give_their_places_back_and_take_none_of_the_api(
    tmp_path: Path, narrow: None
) -> None:
    with (
        serving(tmp_path, receive_seconds_max=1.5) as store,
        ExitStack() as open_,
    ):
        slow = [open_.enter_context(who_does_not_read(store)) for _ in range(PAGES_MAX)]
        for connection in slow:
            connection.send(head(LARGE_FILE))
        for connection in slow:
            assert connection.head() == 200
        with store.connect() as connection:
            connection.send(put() + head("GET /problems"))
            taken, page = connection.answer(), connection.answer()
        assert taken is not None and taken.status == 202
        assert page is not None and page.problem()["code"] == "busy"
        until(lambda: not store.protocols(), "they are ended")

        def has_room() -> bool:
            with store.connect() as connection:
                connection.send(head("GET /problems", "Connection: close"))
                return connection.statuses() == [200]

        until(has_room, "their places are free")


# -- connections -----------------------------------------------------------------------
def test_the_longest_idle_connection_makes_room_for_a_new_one() -> None:
    ended: list[str] = []
    connections = Connections(3)
    for name in ("a", "b", "c"):
        assert connections.admit(name, partial(ended.append, name))
    connections.busy("a")
    connections.idle("a", lambda: ended.append("a"))
    connections.busy("b")
    assert connections.admit("d", lambda: ended.append("d")) and ended == ["c"]
    assert connections.admit("e", lambda: ended.append("e")) and ended == ["c", "a"]
    connections.busy("d")
    connections.busy("e")
    assert not connections.admit("f", lambda: ended.append("f"))
    connections.gone("b")
    assert connections.admit("f", lambda: ended.append("f"))
    assert (ended, len(connections)) == (["c", "a"], 3)


def test_a_connection_that_is_gone_is_not_idle() -> None:
    connections = Connections(1)
    assert connections.admit("a", lambda: None)
    connections.gone("a")
    connections.idle("a", lambda: None)
    assert connections.admit("b", lambda: None) and len(connections) == 1


def test_a_new_connection_is_served_beside_as_many_idle_ones_as_there_may_be(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, connections_max=20) as served, ExitStack() as open_:
        idle = [open_.enter_context(served.connect()) for _ in range(20)]
        until(lambda: len(served.connections) == 20, "all are open")
        for _ in range(5):
            idle.append(open_.enter_context(served.connect()))
            idle[-1].send(put())
            answer = idle[-1].answer()
            assert answer is not None and answer.status == 202
        for connection in idle[:5]:
            assert_is_ended(connection)
        assert len(served.connections) == 20
        idle[-1].send(put("Connection: close"))
        assert idle[-1].statuses() == [202]


def test_where_all_are_busy_a_new_connection_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path, connections_max=2) as served, ExitStack() as open_:
        served.kafka.clear()
        busy = [open_.enter_context(served.connect()) for _ in range(2)]
        for connection in busy:
            connection.send(put())
        until(lambda: served.asked() == 2, "both are there")
        with served.connect() as connection:
            connection.send(head("GET /"))
            answer = connection.answer()
            assert answer is not None and answer.problem()["code"] == "busy"
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["connection"] == "close"
        served.kafka.set()
        for connection in busy:
            answer = connection.answer()
            assert answer is not None and answer.status == 202


# -- TLS -------------------------------------------------------------------------------
@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Served, ssl.SSLContext]]:
    authority = trustme.CA()
    mine = authority.issue_cert("127.0.0.1")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(
        tmp_path,
        tls_cert=tmp_path / "cert.pem",
        tls_key=tmp_path / "key.pem",
        receive_seconds_max=SECONDS,
        connections_max=4,
    ) as served:
        yield served, context


def greeted(secure: tuple[Served, ssl.SSLContext]) -> Connection:
    served, context = secure
    made = socket.create_connection(served.address, 20)
    return Connection(context.wrap_socket(made, server_hostname="127.0.0.1"))


def test_only_tls_says_that_browsers_must_come_by_tls(
    secure: tuple[Served, ssl.SSLContext], store: Served
) -> None:
    for made, said in ((greeted(secure), True), (store.connect(), False)):
        with made as connection:
            for request in (head("GET /nothing"), b"nonsense\r\n\r\n"):
                connection.send(request)
                answer = connection.answer()
                assert answer is not None
                assert ("strict-transport-security" in answer.headers) is said


def test_who_never_shakes_hands_is_ended_and_counted_until_then(
    secure: tuple[Served, ssl.SSLContext],
) -> None:
    served, _ = secure
    with ExitStack() as open_:
        silent = [open_.enter_context(served.connect()) for _ in range(3)]
        until(lambda: len(served.connections) == 3, "they are counted")
        for connection in silent:
            assert_is_ended(connection)
    until(lambda: not len(served.connections), "they count no more")


def test_who_never_shakes_hands_makes_room_for_those_who_do(
    secure: tuple[Served, ssl.SSLContext],
) -> None:
    served, _ = secure
    with ExitStack() as open_:
        for _ in range(12):
            open_.enter_context(served.connect())
        with greeted(secure) as connection:
            connection.send(put("Connection: close"))
            assert connection.statuses() == [202]


# -- batches ---------------------------------------------------------------------------
def test_batches_that_drip_end(store: Served) -> None:
    """Each piece started the clock again: a byte now and then held a place for ever."""
    with ExitStack() as open_:
        dripping = [open_.enter_context(store.connect()) for _ in range(BATCHES_MAX)]
        for connection in dripping:
            connection.send(head(BATCH, NDJSON, "Transfer-Encoding: chunked"))
            assert connection.head() == 200
        began = time.monotonic()
        while time.monotonic() - began < SECONDS * 3:
            for connection in dripping:
                with suppress(ConnectionError):
                    connection.send(b"1\r\n\n\r\n")
            time.sleep(SECONDS / 8)
        assert not any(each.quiet(0.01) for each in dripping), "they go on"
        for connection in dripping:
            last = json.loads(b"".join(iter(connection.piece, b"")))
            assert last["problem"]["code"] == "request-timeout"


def test_batches_whose_answers_nobody_reads_end(
    store: Served, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "ANSWERS_BYTES_MAX", 65_536)
    body = PAYMENT_LINE * 4_000
    with ExitStack() as open_:
        for _ in range(BATCHES_MAX):
            connection = open_.enter_context(who_does_not_read(store))
            connection.send(head(BATCH, NDJSON, f"Content-Length: {len(body)}"))
            as_much_as_it_takes(connection, body, 0.1)
        until(lambda: not store.protocols(), "they are ended", 20.0)
        until(lambda: takes_a_batch(store), "their places are free again")


def takes_a_batch(served: Served) -> bool:
    with served.connect() as connection:
        connection.send(head(BATCH, NDJSON, "Content-Length: 0"))
        answer = connection.answer()
    assert answer is not None and answer.status in (200, 503)
    return answer.status == 200


def test_a_batch_of_nothing_but_wrong_lines_ends_long_before_its_end(
    tmp_path: Path,
) -> None:
    """Two million of them were answered with a gigabyte."""
    lines = b"{}\n" * 200_000
    with serving(tmp_path, rate_limit=1_000_000) as served:
        with served.connect() as connection:
            connection.send(head(BATCH, NDJSON, f"Content-Length: {len(lines)}"))
            sent = as_much_as_it_takes(connection, lines, 5.0)
            connection.socket.settimeout(20)
            answer = connection.answer()
            assert answer is not None and sent == len(lines)
            assert len(answer.body) < MIB + 4 * len(lines)
            *lines_of, last = answer.body.splitlines()
            assert len(lines_of) < 10_000
            assert json.loads(last)["problem"]["code"] == "too-many-requests"
            assert "line" not in json.loads(last)


def test_a_batch_that_nobody_reads_keeps_a_bounded_number_of_answers(
    tmp_path: Path, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "ANSWERS_BYTES_MAX", 65_536)
    body = PAYMENT_LINE * 240_000  # far beyond what kernels buffer on the way
    with serving(tmp_path, rate_limit=1_000_000, receive_seconds_max=1.0) as served:
        with who_does_not_read(served) as connection:
            connection.send(head(BATCH, NDJSON, f"Content-Length: {len(body)}"))
            sent = as_much_as_it_takes(connection, body, 0.5)
    assert sent < len(body), "all of it was read, and its answers kept"


def test_every_wrong_line_is_booked_against_the_rate(tmp_path: Path) -> None:
    with serving(tmp_path, rate_limit=5) as served, served.connect() as connection:
        body = b"{}\n" * 12
        connection.send(head(BATCH, NDJSON, f"Content-Length: {len(body)}") + body)
        answer = connection.answer()
        assert answer is not None
        said = [json.loads(each)["problem"] for each in answer.body.splitlines()]
        connection.send(put("Connection: close"))
        assert connection.statuses() == [429]
    wrong, over = ["invalid-request"], ["too-many-requests"]
    assert [each["code"] for each in said] == wrong * 5 + over * 7


def test_an_answer_is_in_proportion_to_its_question(store: Served) -> None:
    names = ",".join(f'"{number}":0' for number in range(1_700))
    for body in (f"{{{names}}}", '{"' + "x" * 16_000 + '":1}'):
        with store.connect() as connection:
            connection.send(put("Connection: close", body=body.encode()))
            answer = connection.answer()
        assert answer is not None and answer.problem()["code"] == "invalid-request"
        assert len(answer.body) < 3_000
