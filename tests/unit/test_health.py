"""Health: progress, readiness and metrics over a real socket."""

import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

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
