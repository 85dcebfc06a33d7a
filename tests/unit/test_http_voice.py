"""Every layer speaks with one voice: problems with a code, headers that always hold."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from producers.store.api.visitors import is_of_this_machine
from producers.store.problems import Kind
from tests.unit.issuing import jwk, opened, token, write
from tests.unit.serving import PAYMENT, Answer, Served, head, put, serving

SOME = "/v1/transfers/0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c77"
JSON = "Content-Type: application/json"
CODES = {kind.code: kind.status for kind in Kind}
PLAIN = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("store"), receive_seconds_max=0.5) as served:
        yield served


def asked(store: Served, request: bytes, bare: bool = False) -> Answer:
    with store.connect() as connection:
        connection.send(request)
        answer = connection.answer(bare)
    assert answer is not None
    return answer


def assert_is_safe(answer: Answer) -> None:
    """What browsers and caches are told, whatever the answer is."""
    headers = answer.headers
    assert headers.get_all("x-content-type-options") == ["nosniff"]
    assert headers.get_all("referrer-policy") == ["no-referrer"]
    (policy,) = headers.get_all("content-security-policy") or [""]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    (kept,) = headers.get_all("cache-control") or [""]
    assert kept in ("no-store", "no-cache")
    assert "strict-transport-security" not in headers, "this is plain HTTP"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


# -- errors of every layer -------------------------------------------------------------
LONG = "X: " + "a" * 17_000
ERRORS = {
    "the parser": (b"nonsense\r\n\r\n", 400, "bad-request"),
    "the head": (head("GET /", "Host: b"), 400, "bad-request"),
    "its size": (head("GET /", LONG), 431, "headers-too-large"),
    "its clock": (b"GET / HT", 408, "request-timeout"),
    "the body's clock": (put()[:-1], 408, "request-timeout"),
    "its size, short way": (put(body=b" " * 17_000), 413, "too-large"),
    "visitors": (head("GET /", "Origin: http://a.b"), 403, "foreign-origin"),
    "the router": (head("GET /nothing"), 404, "not-found"),
    "its methods": (head(f"DELETE {SOME}"), 405, "method-not-allowed"),
    "TRACE": (head("TRACE /", "X-Secret: 1"), 405, "method-not-allowed"),
    "parameters": (head("GET /v1/transfers/7"), 422, "invalid-request"),
    "the short way": (put(body=b"{"), 400, "malformed-json"),
    "a media type": (put("Content-Type: text/plain"), 415, "unsupported-media-type"),
    "the desk": (head(f"GET {SOME}"), 404, "unknown-transfer"),
    "a stream": (head(f"GET {SOME}/events"), 404, "unknown-transfer"),
    "files": (head("GET /page/nothing.js"), 404, "not-found"),
    "a folder": (head("GET /page/"), 404, "not-found"),
    "a way out": (head("GET /page/%2e%2e/auth.py"), 404, "not-found"),
    "a way out to a script": (head("GET /page/..%2f..%2fa.js"), 404, "not-found"),
    "NUL": (head("GET /page/%00"), 404, "not-found"),
    "NUL in a script": (head("GET /page/%00.js"), 404, "not-found"),
    "what pages are made from": (head("GET /page/home.html"), 404, "not-found"),
    "the other page": (head("GET /page/problems.html"), 404, "not-found"),
    "another page of docs": (head("GET /docs/oauth2-redirect"), 404, "not-found"),
    "redoc": (head("GET /redoc"), 404, "not-found"),
}


@pytest.mark.parametrize(("request_", "status", "code"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_any_layer_is_a_problem_with_a_code(
    store: Served, request_: bytes, status: int, code: str
) -> None:
    answer = asked(store, request_)
    assert (answer.status, answer.problem()["code"]) == (status, code)
    assert CODES[code] == status
    assert answer.problem()["type"] == f"/problems#{code}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == PLAIN
    assert b"X-Secret" not in answer.body
    assert_is_safe(answer)


GOOD = {
    "the page": ("GET /", 200),
    "problems": ("GET /problems", 200),
    "docs": ("GET /docs", 200),
    "the document": ("GET /openapi.json", 200),
    "a script": ("GET /page/page.js", 200),
    "docs' script": ("GET /static-offline-docs/swagger-ui.css", 200),
    "OPTIONS": (f"OPTIONS {SOME}", 204),
}


@pytest.mark.parametrize(("line", "status"), GOOD.values(), ids=GOOD)
def test_what_is_good_is_as_safe(store: Served, line: str, status: int) -> None:
    answer = asked(store, head(line))
    assert answer.status == status
    assert_is_safe(answer)


def test_payments_streams_and_batches_are_as_safe(store: Served) -> None:
    request = put()
    path = request.split()[1].decode()
    taken = asked(store, request)
    assert taken.status == 202 and taken.headers["location"] == path
    assert_is_safe(taken)
    for line in (f"GET {path}/events", "POST /v1/transfers:batch"):
        with store.connect() as connection:
            media_type = "Content-Type: application/x-ndjson"
            connection.send(head(line, media_type, "Content-Length: 0"))
            assert connection.head() == 200
            assert_is_safe(Answer(200, connection.headers, b""))


# -- methods ---------------------------------------------------------------------------
ALLOWED = {
    SOME: "GET, HEAD, OPTIONS, PUT",
    f"{SOME}/events": "GET, OPTIONS",
    "/v1/transfers": "OPTIONS, POST",
    "/v1/transfers:batch": "OPTIONS, POST",
    "/": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/page/page.js": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
def test_allow_names_all_that_a_path_can_do(
    store: Served, path: str, allowed: str
) -> None:
    options = asked(store, head(f"OPTIONS {path}"))
    assert (options.status, options.headers["allow"]) == (204, allowed)
    for method in ("DELETE", "PATCH", "TRACE"):
        refused = asked(store, head(f"{method} {path}"))
        assert refused.problem()["code"] == "method-not-allowed"
        assert (refused.status, refused.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path", ["/", "/problems", "/docs", "/openapi.json", "/page/page.js", SOME, "/no"]
)
def test_head_is_get_without_a_body(store: Served, path: str) -> None:
    known = asked(store, head(f"GET {path}"))
    bare = asked(store, head(f"HEAD {path}", "Connection: close"), bare=True)
    assert bare.status == known.status
    for name in ("content-type", "content-length", "cache-control", "etag"):
        assert bare.headers[name] == known.headers[name]
    with store.connect() as connection:
        connection.send(head(f"HEAD {path}") + head("GET /no", "Connection: close"))
        assert connection.answer(bare=True) is not None
        assert connection.statuses() == [404], "no byte of a body came between"


@pytest.mark.parametrize("path", ["/v1/transfers/", f"{SOME}/", "/docs/", "/problems/"])
def test_a_slash_too_many_leads_nowhere(store: Served, path: str) -> None:
    answer = asked(store, head(f"GET {path}").replace(b"store", b"localhost"))
    assert answer.status in (404, 405, 422) and answer.problem()["code"]
    assert "location" not in answer.headers


def test_a_path_that_is_answered_adds_no_header(store: Served) -> None:
    answer = asked(store, head("PUT /v1/transfers/%0d%0aX-Injected:%201"))
    assert answer.status in (404, 422) and "x-injected" not in answer.headers


# -- pages -----------------------------------------------------------------------------
def test_the_one_script_in_docs_is_named_by_its_hash(http: httpx.Client) -> None:
    page = http.get("/docs")
    policy = page.headers["content-security-policy"]
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert len(scripts) == 1
    digest = b64encode(sha256(scripts[0].encode()).digest()).decode()
    (sources,) = re.findall(r"script-src ([^;]*)", policy)
    assert sources.split() == ["'self'", f"'sha256-{digest}'"]
    for found in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert found.startswith("/") and http.get(found).status_code == 200


@pytest.mark.parametrize("path", ["/", "/problems"])
def test_our_pages_run_nothing_that_stands_in_them(
    http: httpx.Client, path: str
) -> None:
    page = http.get(path)
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy and "script-src 'self';" in policy
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", page.text)


# -- a demo ----------------------------------------------------------------------------
FOREIGN = [
    ["Host: evil.example:8080"],
    ["Host: 192.168.0.7:8080"],
    ["Host: 127.0.0.1.evil.example"],
    ["Host: localhost.evil.example"],
    ["Host: store", "Origin: https://evil.example"],
    ["Host: store", "Origin: null.example"],
    ["Host: store", "Origin: null"],
    ["Host: store", "Origin: http://127.0.0.1.evil.example:8080"],
    ["Host: store", "Sec-Fetch-Site: cross-site"],
]
OURS = [
    ["Host: localhost:8080"],
    ["Host: LOCALHOST."],
    ["Host: 127.0.0.1:8080"],
    ["Host: 127.1.2.3"],
    ["Host: [::1]:8080"],
    ["Host: a.localhost:1"],
    ["Host: store"],
    ["Host: localhost:8080", "Origin: http://localhost:8080"],
    ["Host: [::1]", "Origin: http://[::1]:8080", "Sec-Fetch-Site: same-origin"],
    ["Host: localhost", "Sec-Fetch-Site: none"],
]


def visit(headers: list[str]) -> list[bytes]:
    """A page, a transfer and a payment, asked for with these headers."""
    payment = f"PUT /v1/transfers/{uuid4()} HTTP/1.1", f"Content-Length: {len(PAYMENT)}"
    lines: list[tuple[str, ...]] = [("GET / HTTP/1.1",), (f"GET {SOME} HTTP/1.1",)]
    heads = ["\r\n".join((*line, *headers, "", "")).encode() for line in lines]
    return [*heads, "\r\n".join((*payment, *headers, JSON, "", "")).encode() + PAYMENT]


@pytest.mark.parametrize("headers", FOREIGN, ids=" ".join)
def test_a_demo_refuses_what_is_not_from_this_machine(
    store: Served, headers: list[str]
) -> None:
    for request in visit(headers):
        answer = asked(store, request)
        assert answer.problem()["code"] == "foreign-origin" and answer.status == 403


@pytest.mark.parametrize("headers", OURS, ids=" ".join)
def test_a_demo_takes_what_is_from_this_machine(
    store: Served, headers: list[str]
) -> None:
    answers = [asked(store, request).status for request in visit(headers)]
    assert answers == [200, 404, 202]


def test_no_address_but_loopback_is_this_machine() -> None:
    for host in ("10.0.0.1", "0.0.0.0:80", "[::]", "[fe80::1]:1", "a.b", "", ".", "["):
        assert not is_of_this_machine(host), host


def test_where_tokens_are_asked_any_host_may_be_said(tmp_path: Path) -> None:
    write(tmp_path / "jwks.json", jwk("EdDSA"))
    gate = opened(tmp_path / "jwks.json")
    with serving(tmp_path, gate.client) as served:
        for headers in FOREIGN:
            page, _, payment = visit([*headers, f"Authorization: {token()}"])
            assert asked(served, page).status == 200
            assert asked(served, payment).status == 202


# -- challenges (RFC 6750) -------------------------------------------------------------
def test_a_challenge_says_what_is_wrong_with_a_token(tmp_path: Path) -> None:
    write(tmp_path / "jwks.json", jwk("EdDSA"))
    gate = opened(tmp_path / "jwks.json")
    cases = {
        "": (401, "Bearer"),
        "Basic YTpi": (401, "Bearer"),
        "Bearer a.b.c": (401, 'Bearer error="invalid_token", error_description="'),
        token(exp=1): (401, 'Bearer error="invalid_token", error_description="'),
        token(aud='"é\\'): (401, 'Bearer error="invalid_token", error_description="'),
        token(scope="transfers:read"): (
            403,
            'Bearer error="insufficient_scope", scope="transfers:write"',
        ),
        token(accounts=[2]): (403, 'Bearer error="insufficient_scope"'),
    }
    with serving(tmp_path, gate.client) as served:
        for said, (status, challenge) in cases.items():
            for query in (b"", b"?wait=0"):
                request = put(*([f"Authorization: {said}"] if said else []))
                answer = asked(served, request.replace(b" HTTP", query + b" HTTP", 1))
                assert answer.status == status and answer.problem()["code"]
                found = answer.headers["www-authenticate"]
                exact = not challenge.endswith('="')
                assert found == challenge if exact else found.startswith(challenge)
                assert re.fullmatch(r'Bearer( \w+="[^"\\]*"(, \w+="[^"\\]*")*)?', found)
