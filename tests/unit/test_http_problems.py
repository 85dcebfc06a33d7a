"""Every error is problem details with a stable code and tells nothing of the inside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from producers.store.api.problem_response import respond
from producers.store.problems import Kind, Problem
from tests.unit.serving import FIELDS, PAYMENT, Served, head, serving

TRANSFERS = "/v1/transfers"
UNKNOWN = f"{TRANSFERS}/0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c01"
INSIDE = re.compile(r"Traceback|\.py\b|site-packages|line \d+, in |(/[a-z_]+){3,}")
MEMBERS = {"type", "title", "status", "detail", "code"}


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem that this response must be, with nothing in it of the inside."""
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found.keys() - {"errors", "transfer_id"} == MEMBERS
    assert found["type"] == f"/problems#{found['code']}"
    assert found["status"] == response.status_code
    assert found["title"] and found["detail"].endswith(".")
    assert not INSIDE.search(response.text)
    return found


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NONE = {"Content-Type": ""}
GZIP = {"Content-Encoding": "gzip"}


def new() -> str:
    return f"{TRANSFERS}/{uuid4()}"


def payment(**fields: object) -> dict[str, object]:
    return {**FIELDS, **fields}


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("PUT", UNKNOWN, {"content": b"{"}), 400, "malformed-json"),
        (("PUT", UNKNOWN, {"content": b""}), 400, "malformed-json"),
        (("PUT", UNKNOWN, {"content": b'{"memo":"\\ud800"}'}), 400, "malformed-json"),
        (("PUT", UNKNOWN, {"content": b"[" * 10_000}), 400, "malformed-json"),
        (("POST", TRANSFERS, {"content": b"nil"}), 400, "malformed-json"),
        (("PUT", UNKNOWN, {"content": b"[]"}), 422, "invalid-request"),
        (("GET", UNKNOWN, {}), 404, "unknown-transfer"),
        (("GET", f"{UNKNOWN}/events", {}), 404, "unknown-transfer"),
        (("GET", "/nothing", {}), 404, "not-found"),
        (("GET", "/page/nothing", {}), 404, "not-found"),
        (("GET", "/docs/static/..%2f..%2fsettings.py", {}), 404, "not-found"),
        (("PUT", TRANSFERS, {"content": PAYMENT}), 405, "method-not-allowed"),
        (("TRACE", UNKNOWN, {}), 405, "method-not-allowed"),
        (("PUT", UNKNOWN, {"headers": FORM}), 415, "unsupported-media-type"),
        (("PUT", UNKNOWN, {"headers": NONE}), 415, "unsupported-media-type"),
        (("POST", TRANSFERS, {"headers": GZIP}), 415, "unsupported-media-type"),
        (("POST", TRANSFERS, {"content": b"x" * 20_000}), 413, "too-large"),
        (("PUT", UNKNOWN, {"content": b"x" * 20_000}), 413, "too-large"),
    ],
    ids=lambda value: " ".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_a_problem_with_a_code(
    http: httpx.Client, request_: tuple[str, str, Any], status: int, code: str
) -> None:
    method, path, content = request_
    response = http.request(method, path, **content)
    assert (response.status_code, problem(response)["code"]) == (status, code)


@pytest.mark.parametrize("query", ["", "?wait=0"], ids=["express", "the long way"])
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": "many"}, "amount"),
        ({"amount": 10**400}, "amount"),
        ({"currency": "euro"}, "currency"),
        ({"debit_account": None}, "debit_account"),
        ({"credit_account": 1}, "body"),
        ({"memo": "x" * 141}, "memo"),
        ({"memo": "up\u202edown"}, "memo"),
        ({"memo": "un\u200bseen"}, "memo"),
        ({"memo": "\ufeff"}, "memo"),
        ({"memo": "two\nlines"}, "memo"),
        ({"surprise": 1}, "surprise"),
        ({"transfer_id": UNKNOWN[-36:]}, "transfer_id"),
        ({"transfer_id": 7}, "transfer_id"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(
    http: httpx.Client, change: dict[str, object], field: str, query: str
) -> None:
    found = problem(http.put(new() + query, json=payment(**change)))
    assert found["code"] == "invalid-request"
    assert [each["field"] for each in found["errors"]] == [field]
    assert field in found["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        (f"{TRANSFERS}/7", {}, "transfer_id"),
        (f"{TRANSFERS}/%ff%00", {}, "transfer_id"),
        (f"{UNKNOWN}?wait=-1", {}, "wait"),
        (f"{UNKNOWN}?wait=nan", {}, "wait"),
        (f"{UNKNOWN}?wait=inf", {}, "wait"),
        (UNKNOWN, {"Request-Timeout": "0"}, "Request-Timeout"),
        (UNKNOWN, {"Request-Timeout": "soon"}, "Request-Timeout"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_named(
    http: httpx.Client, path: str, headers: dict[str, str], field: str
) -> None:
    found = problem(http.put(path, json=payment(), headers=headers))
    assert found["code"] == "invalid-request"
    assert [each["field"] for each in found["errors"]] == [field]


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_has_a_length(http: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key}
    found = problem(http.post(TRANSFERS, json=payment(), headers=headers))
    assert [each["field"] for each in found["errors"]] == ["Idempotency-Key"]


def test_an_id_or_key_that_comes_with_another_payment_is_a_problem(
    http: httpx.Client,
) -> None:
    path, headers = new(), {"Idempotency-Key": str(uuid4())}
    assert http.put(path, json=payment()).status_code == 202
    assert http.post(TRANSFERS, json=payment(), headers=headers).status_code == 202
    taken = http.put(path, json=payment(amount=7))
    reused = http.post(TRANSFERS, json=payment(amount=7), headers=headers)
    assert (taken.status_code, problem(taken)["code"]) == (409, "transfer-id-taken")
    found = problem(reused)
    assert (reused.status_code, found["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.code)
def test_every_kind_of_problem_has_a_section_on_the_page(
    http: httpx.Client, kind: Kind
) -> None:
    assert f'id="{kind.code}"' in http.get("/problems").text


def test_a_problem_says_what_its_headers_must() -> None:
    later = respond(Problem(Kind.BUSY, "Later.", 3)).headers
    assert (later["retry-after"], later["connection"]) == ("3", "close")
    assert (
        respond(Problem(Kind.UNAUTHENTICATED, "Who?"))
        .headers["www-authenticate"]
        .startswith("Bearer")
    )


# -- mistakes of ours ------------------------------------------------------------------
def broken(*_: object) -> NoReturn:
    raise RuntimeError("the secret of /etc/passwd")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", new()), ("PUT", f"{UNKNOWN}?wait=1"), ("POST", TRANSFERS), ("GET", new())],
    ids=["PUT", "PUT and wait", "POST", "GET"],
)
def test_a_mistake_of_ours_is_logged_once_and_says_nothing_of_itself(
    store: Served,
    method: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store.desk, "send", broken)
    monkeypatch.setattr(store.desk, "status", broken)
    with store.http() as http, capture_logs() as logged:
        response = http.request(method, path, json=payment())
        again = http.get("/problems")
    assert response.status_code == 500
    assert problem(response)["detail"] == "It has been logged."
    assert "secret" not in response.text
    assert again.status_code == 200
    assert not caplog.records, "nobody else logs it"
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("a request failed", "error")
    assert line["path"] == path.partition("?")[0]
    assert str(line["exc_info"]) == "the secret of /etc/passwd"


@pytest.mark.parametrize("line", [f"PUT {UNKNOWN}", f"POST {TRANSFERS}"])
def test_a_client_that_leaves_in_the_middle_is_nobodys_mistake(
    store: Served, line: str
) -> None:
    while not store.ended.empty():
        store.ended.get()
    with capture_logs() as logged:
        with store.connect() as connection:
            media_type = "Content-Type: application/json"
            connection.send(head(line, "Content-Length: 100", media_type) + b"{")
            assert connection.quiet(0.1)
        _, _, status = store.ended.get(timeout=20)
    assert status == 408 and not logged


def test_a_problem_on_the_way_is_told_to_the_observer(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.http() as http:
        http.put(new(), content=b"{")
        http.get("/nothing")
        ended = [served.ended.get(timeout=20) for _ in range(2)]
    assert ended == [
        ("PUT", "/v1/transfers/{transfer_id}", 400),
        ("GET", "other", 404),
    ]


NIL = str(UUID(int=0))


@pytest.mark.parametrize("query", ["", "?wait=1"], ids=["short way", "long way"])
def test_an_id_of_zeros_is_no_id_in_the_path(http: httpx.Client, query: str) -> None:
    refused = problem(http.put(f"{TRANSFERS}/{NIL}{query}", json=payment()))
    assert (refused["status"], refused["code"]) == (422, "invalid-request")
    told = {"field": "transfer_id", "detail": "must not be all zero"}
    assert refused["errors"] == [told]


def test_an_id_of_zeros_is_no_id_in_a_batch(http: httpx.Client) -> None:
    answer = http.post(
        f"{TRANSFERS}:batch",
        content=json.dumps(payment(transfer_id=NIL)).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    refused = json.loads(answer.text)["problem"]
    assert refused["code"] == "invalid-request"
    told = {"field": "transfer_id", "detail": "must not be all zero"}
    assert refused["errors"] == [told]
