"""Health: progress, readiness and metrics over a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from once import health_http
from once.health import Check, HealthServer, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Serve = Callable[..., HealthServer]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(clock: Clock) -> Iterator[Serve]:
    servers = []

    def started(**checks: Check) -> HealthServer:
        progress = Progress(stall_seconds_max=30, clock=clock)
        servers.append(HealthServer(progress, checks, lambda: b"some_total 1.0\n"))
        return servers[-1]

    yield started
    for server in servers:
        server.close()


def get(server: HealthServer, path: str) -> httpx.Response:
    return httpx.get(server.url + path, timeout=5, trust_env=False)


def test_it_is_live_while_the_last_beat_is_young(serve: Serve, clock: Clock) -> None:
    server = serve()
    clock.now += 30
    answer = get(server, "/livez")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"


def test_it_is_not_live_once_the_loop_stands_still_and_says_how_long(
    clock: Clock,
) -> None:
    progress = Progress(stall_seconds_max=30, clock=clock)
    with HealthServer(progress, {}, lambda: b"") as server:
        clock.now += 30.5
        answer = get(server, "/livez")
        assert answer.status_code == 503
        assert answer.json()["message"] == (
            "the main loop has made no progress for 30.5 s"
            " (at most 30 s are allowed)"
        )
        progress.beat()
        assert get(server, "/livez").status_code == 200


def test_it_is_ready_when_every_check_has_nothing_to_say(serve: Serve) -> None:
    server = serve(database=lambda: None, partitions=lambda: None)
    answer = get(server, "/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"database": "ok", "partitions": "ok"}


def test_it_is_not_ready_while_one_check_fails_and_names_it(serve: Serve) -> None:
    server = serve(database=lambda: "it is read-only", partitions=lambda: None)
    answer = get(server, "/readyz")
    assert answer.status_code == 503
    assert answer.json()["message"] == "database: it is read-only"
    assert answer.json()["checks"] == {
        "database": "it is read-only",
        "partitions": "ok",
    }
    assert get(server, "/livez").status_code == 200, "readiness is not liveness"


def test_a_check_that_raises_counts_as_failing(serve: Serve) -> None:
    def broken() -> str | None:
        raise RuntimeError("no state yet")

    answer = get(serve(database=broken), "/readyz")
    assert answer.status_code == 503
    assert "RuntimeError: no state yet" in answer.json()["message"]


def test_metrics_are_served_as_prometheus_text(serve: Serve) -> None:
    answer = get(serve(), "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.text == "some_total 1.0\n"


def test_another_path_says_which_there_are(serve: Serve) -> None:
    answer = get(serve(), "/")
    assert answer.status_code == 404
    assert answer.json()["message"] == "there is /livez, /readyz and /metrics here"


def test_a_head_request_has_the_status_without_a_body(serve: Serve) -> None:
    url = serve().url + "/livez?verbose"
    answer = httpx.head(url, timeout=5, trust_env=False)
    assert answer.status_code == 200 and answer.content == b""


def test_it_says_nothing_on_the_terminal(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    get(server, "/livez")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"nonsense\r\n\r\n")
        client.recv(1000)
    server.close()
    assert capfd.readouterr() == ("", "")


def raw(server: HealthServer, request: bytes) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(9000), b""))


def dripping(server: HealthServer, count: int) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        clients[-1].sendall(b"GET /livez HTTP/1.1\r\n")
    return clients


@pytest.mark.parametrize("count", [60, 3 * health_http.CONNECTIONS_MAX])
def test_a_probe_is_answered_beside_many_who_drip(serve: Serve, count: int) -> None:
    server = serve()
    threads = threading.active_count()
    clients = dripping(server, count)
    began = time.monotonic()
    assert get(server, "/livez").status_code == 200
    assert get(server, "/readyz").status_code == 200
    assert time.monotonic() - began < 1
    assert threading.active_count() <= threads + health_http.ANSWERING_THREADS
    for client in clients:
        client.close()


def test_who_drips_is_ended_however_often_a_byte_comes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_http, "REQUEST_SECONDS_MAX", 0.5)
    (client,) = dripping(serve(), 1)
    client.settimeout(0.1)
    began = time.monotonic()
    while time.monotonic() - began < 5:
        try:
            client.sendall(b"A: b\r\n")
            if client.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    client.close()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /livez HTTP/1.0\r\n\r\n", b"405"),
        (b"PUT /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"<b>GET</b> /livez HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /<b> HTTP/1.1\r\n\r\n", b"404"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /livez HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_probe_is_refused_in_json(
    serve: Serve, request_: bytes, status: bytes
) -> None:
    head, _, body = raw(serve(), request_).partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"application/json" in head and b"<" not in body
    assert (b"Allow: GET, HEAD" in head) == (status == b"405")


def test_a_slow_page_does_not_hold_up_liveness() -> None:
    free = threading.Event()

    def slow() -> str | None:
        free.wait(10)
        return None

    with HealthServer(Progress(30), {"slow": slow}, lambda: b"") as server:
        asking = [
            threading.Thread(target=get, args=(server, "/readyz")) for _ in range(4)
        ]
        for each in asking:
            each.start()
        began = time.monotonic()
        assert get(server, "/livez").status_code == 200
        assert time.monotonic() - began < 1
        free.set()
        for each in asking:
            each.join()


def test_closing_frees_the_port_and_may_be_done_twice(serve: Serve) -> None:
    server = serve()
    server.close()
    server.close()
    again = HealthServer(Progress(30), {}, lambda: b"", port=server.port)
    assert again.port == server.port
    again.close()


def test_a_port_that_is_taken_is_a_sentence(serve: Serve) -> None:
    taken = serve().port
    with pytest.raises(OSError, match="choose another port"):
        HealthServer(Progress(30), {}, lambda: b"", port=taken)
