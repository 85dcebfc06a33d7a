"""Ids and keys: a client can always repeat what it sent, and nobody else can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import httpx
import pytest

from producers.store.api.routes import id_of_key
from producers.store.problems import Kind, Problem
from tests.unit.serving import FIELDS, PAYMENT, Served, serving

TRANSFERS = "/v1/transfers"
MADE_OF_KEY = str(id_of_key("", "order-4711"))
NDJSON = {"Content-Type": "application/x-ndjson"}


def post(http: httpx.Client, key: str = "", **changes: object) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return http.post(TRANSFERS, json={**FIELDS, **changes}, headers=headers)


def id_in(response: httpx.Response) -> UUID:
    return UUID(response.json()["transfer_id"])


# -- ids that are made here ------------------------------------------------------------
def test_without_a_key_the_answer_names_an_id_to_repeat_it_under(
    http: httpx.Client,
) -> None:
    taken = post(http)
    made = id_in(taken)
    assert (taken.status_code, made.version) == (202, 7)
    assert taken.headers["location"] == f"{TRANSFERS}/{made}"
    assert id_in(post(http)) != made
    again = http.put(f"{TRANSFERS}/{made}", json=FIELDS)
    assert again.status_code == 202 and again.json() == taken.json()


@pytest.mark.parametrize("key", ["", "a-key"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [({"amount": 0}, "invalid-request"), ({"surprise": 1}, "invalid-request")],
)
def test_a_problem_of_a_post_names_the_id_too(
    http: httpx.Client, key: str, changes: dict[str, object], code: str
) -> None:
    refused = post(http, key, **changes)
    assert refused.json()["code"] == code
    assert id_in(refused).version == (8 if key else 7)


@pytest.mark.parametrize("content", [b"{", b"x" * 20_000], ids=["no JSON", "too large"])
def test_also_where_the_body_was_not_even_read(
    http: httpx.Client, content: bytes
) -> None:
    refused = http.post(TRANSFERS, content=content)
    assert refused.status_code in (400, 413) and id_in(refused).version == 7


def test_what_may_have_been_sent_can_be_repeated_under_its_id(tmp_path: Path) -> None:
    """Withdrawn or unknown, the answer names it; under it there is one effect."""
    with serving(tmp_path, answer_seconds_max=0.3) as served, served.http() as http:
        served.kafka.clear()
        first, second = post(http), post(http)
        codes = {each.json()["code"] for each in (first, second)}
        assert codes <= {"outcome-unknown", "kafka-unavailable"} and codes
        assert "outcome-unknown" in codes, "the first one is in the emitter's hands"
        served.kafka.set()
        for refused in (first, second):
            assert refused.status_code == 503 and refused.headers["retry-after"]
            path = f"{TRANSFERS}/{id_in(refused)}"
            assert http.put(path, json=FIELDS).status_code == 202


@pytest.mark.parametrize("query", ["", "?wait=0"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_mistake_of_ours_names_it_too(
    http: httpx.Client,
    store: Served,
    method: str,
    query: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> NoReturn:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(store.desk, "send_all", broken)
    mine = uuid4()
    path = f"{TRANSFERS}/{mine}" if method == "PUT" else TRANSFERS
    failed = http.request(method, path + query, json=FIELDS)
    assert (failed.status_code, failed.json()["code"]) == (500, "internal")
    assert id_in(failed) == mine if method == "PUT" else id_in(failed).version == 7


def test_a_token_that_is_refused_has_no_id_yet(tmp_path: Path) -> None:
    async def nobody(authorization: str) -> NoReturn:
        raise Problem(Kind.UNAUTHENTICATED, "Nobody.")

    with serving(tmp_path, nobody) as served, served.http() as http:
        refused = post(http)
    assert refused.status_code == 401 and "transfer_id" not in refused.json()


# -- keys ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order-1", '"order-1"'),
        ('"a \\"word\\""', '"a \\"word\\""'),
        ('"back\\\\slash"', "back\\slash"),
    ],
)
def test_a_key_in_quotes_and_bare_is_one_key(
    http: httpx.Client, one: str, other: str
) -> None:
    assert id_in(post(http, one)) == id_in(post(http, other))


@pytest.mark.parametrize(
    ("one", "other"), [("k", "K"), ("k", "kk"), ('"\\"k"', "k"), ("'k'", "k")]
)
def test_other_keys_are_other_payments(
    http: httpx.Client, one: str, other: str
) -> None:
    assert id_in(post(http, one)) != id_in(post(http, other))


def test_the_id_of_a_key_is_the_clients_own() -> None:
    assert id_of_key("ada", "k") != id_of_key("grace", "k")
    assert id_of_key("ada", "k").version == id_of_key("a", "dak").version == 8
    assert id_of_key("ada", "k") != id_of_key("a", "dak")


def test_a_key_that_came_with_another_payment_names_the_first_ones_id(
    http: httpx.Client,
) -> None:
    first, other = post(http, "once"), post(http, "once", amount=7)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert id_in(first) == id_in(other)


# -- ids that only a key makes ---------------------------------------------------------
@pytest.mark.parametrize("spelled", [MADE_OF_KEY, MADE_OF_KEY.upper()])
@pytest.mark.parametrize("query", ["", "?wait=0"], ids=["short way", "long way"])
def test_nobody_sends_under_the_id_of_a_key_by_path(
    http: httpx.Client, spelled: str, query: str
) -> None:
    """Or a stranger takes the id of a key that can be guessed, or asks about it."""
    refused = http.put(f"{TRANSFERS}/{spelled}{query}", json=FIELDS)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == ["transfer_id"]


def test_nor_by_body(http: httpx.Client) -> None:
    for path, method in ((f"{TRANSFERS}/{uuid4()}", "PUT"), (TRANSFERS, "POST")):
        fields = {**FIELDS, "transfer_id": MADE_OF_KEY}
        refused = http.request(method, path, json=fields)
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == ["transfer_id"]


def test_nor_by_a_line_of_a_batch(http: httpx.Client) -> None:
    (refused,) = batch(http, json.dumps({**FIELDS, "transfer_id": MADE_OF_KEY}))
    assert refused["problem"]["code"] == "invalid-request"
    assert refused["problem"]["errors"][0]["field"] == "transfer_id"


def test_whoever_has_the_key_may_ask_for_its_transfer(http: httpx.Client) -> None:
    made = id_in(post(http, "mine"))
    assert made.version == 8
    assert http.get(f"{TRANSFERS}/{made}").json()["state"] == "committed"
    with_id = post(http, "mine", transfer_id=str(made))
    assert with_id.status_code == 202 and id_in(with_id) == made


# -- lines of a batch ------------------------------------------------------------------
def batch(http: httpx.Client, *lines: str) -> list[dict[str, Any]]:
    answer = http.post(
        f"{TRANSFERS}:batch", content="\n".join(lines).encode(), headers=NDJSON
    )
    assert answer.status_code == 200
    return [json.loads(each) for each in answer.text.splitlines()]


def test_each_line_that_has_two_meanings_or_none_is_refused_by_itself(
    http: httpx.Client,
) -> None:
    def line(more: str) -> str:
        return f'{PAYMENT.decode()[:-1]}, "transfer_id": "{uuid4()}"{more}}}'

    wrong = {
        line(', "amount": 7'): "amount",
        line(f', "transfer_id": "{uuid4()}"'): "transfer_id",
        line(', "\\u0061mount": 7'): "amount",
        line(', "memo": "a", "memo": "b"'): "memo",
        line("").replace(": 250", ": true"): "amount",
        line("").replace(": 250", ": 250.0"): "amount",
        line("").replace(": 250", ': "250"'): "amount",
        line("").replace(": 250", ": 1e2"): "amount",
        line("").replace('account": 1,', 'account": true,'): "debit_account",
        line(', "created_at_ms": 1.5'): "created_at_ms",
        line(', "memo": "\\u001b[2J"'): "memo",
        line(', "memo": "\\u202e"'): "memo",
        PAYMENT.decode(): "transfer_id",
    }
    found = batch(http, line(""), *wrong, line(', "memo": "\\"fields\\" are quoted"'))
    assert found[0]["state"] == found[-1]["state"] == "committed"
    said = [each["problem"]["errors"] for each in found[1:-1]]
    assert [[e["field"] for e in errors] for errors in said] == [
        [field] for field in wrong.values()
    ]


@pytest.mark.parametrize("key", ['"half', 'half"', 'in"side', '""', '"\\x"'])
def test_a_key_that_is_half_in_quotes_is_none(http: httpx.Client, key: str) -> None:
    response = http.post(TRANSFERS, json=FIELDS, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_parameter_that_is_there_twice_is_refused(http: httpx.Client) -> None:
    response = http.post(f"{TRANSFERS}?wait=0&wait=5", json=FIELDS)
    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
