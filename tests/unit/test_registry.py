"""Only the registry's own word counts: what a proxy says condemns no record."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from once.errors import Defect, Retriable
from once.registry import Registry, UnknownSchema


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    registry = Registry(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield registry
    finally:
        registry.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_password_in_the_address_is_sent_and_never_told() -> None:
    with answering(200, b'{"id": 7}') as other:
        registry = Registry(other.url.replace("://", "://sv%40c:hunter%402@"))
        assert registry.url == other.url
        asked = registry._http.build_request("GET", "/")
        login = registry._http.auth
        assert isinstance(login, httpx.Auth)
        sent = next(login.auth_flow(asked)).headers["Authorization"]
        assert base64.b64decode(sent.split()[1]) == b"sv@c:hunter@2"
        assert registry.id_of("subject", {}) == 7
    with pytest.raises(Retriable) as away:
        registry.schema(7)
    registry.close()
    assert "hunter" not in f"{away.value} {away.value.__cause__!r}"
    assert "127.0.0.1" in str(away.value)


@pytest.mark.parametrize(
    "url", ["http://svc:hun/ter2@h:1", "svc:hunter2@registry", "http://u:hunter2@[::/"]
)
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(Defect, match="look at ..._REGISTRY_URL") as wrong:
        Registry(url)
    assert "hun" not in str(wrong.value)
    assert wrong.value.__cause__ is None and wrong.value.__context__ is None


def test_a_schema_that_the_registry_does_not_know_is_unknown() -> None:
    body = json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()
    with answering(404, body) as registry, pytest.raises(UnknownSchema, match="7"):
        registry.schema(7)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>no such backend</html>"),
        (404, b'{"message": "route not found"}'),
        (200, b"<html>please log in</html>"),
        (200, b"{}"),
        (200, b"[]"),
        (403, b"{}"),
        (502, b""),
    ],
)
def test_any_other_answer_is_asked_for_again(status: int, body: bytes) -> None:
    with answering(status, body) as registry, pytest.raises(Retriable):
        registry.schema(7)


def test_a_schema_is_asked_for_once() -> None:
    body = json.dumps({"schema": '{"type": "long"}'}).encode()
    with answering(200, body) as registry:
        assert registry.schema(7) == {"type": "long"}
    assert registry.schema(7) == {"type": "long"}  # the server is gone
