"""PUT and PATCH of /v1/accounts: what is asked for, by whom, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from producers.store.api.clients import ACCOUNTS, READ, WRITE, Client
from tests.unit.serving import Served, serving

EUR = {"currency": "EUR", "credit_limit": 1_000, "reason": "a new customer"}
SCOPES = {"admin": (ACCOUNTS,), "payer": (READ, WRITE), "branch": (ACCOUNTS,)}


async def by_name(authorization: str) -> Client:
    accounts = ((700, 799),) if authorization == "branch" else None
    scopes = frozenset(SCOPES[authorization])
    return Client(authorization, scopes, float("inf"), accounts)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, by_name, answer_seconds_max=1.0) as served:
        yield served


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with served.http() as http:
        http.headers["Authorization"] = "admin"
        yield http


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_change_is_committed_and_found_under_its_id(admin: httpx.Client) -> None:
    answer = admin.put("/v1/accounts/7", json=EUR)
    assert answer.status_code == 202
    found = answer.json()
    assert found["state"] == "committed"
    place = f"/v1/account-changes/{found['change_id']}"
    assert answer.headers["location"] == place
    assert admin.get(place).json() == found


def test_the_same_change_again_gives_its_status_and_another_is_refused(
    admin: httpx.Client,
) -> None:
    mine = {**EUR, "change_id": str(uuid4())}
    first, again = (admin.put("/v1/accounts/7", json=mine) for _ in range(2))
    assert first.json() == again.json()
    for path, body in (
        ("/v1/accounts/7", {**mine, "credit_limit": 2}),
        ("/v1/accounts/8", mine),
        ("/v1/accounts/7", {**mine, "reason": "another"}),
    ):
        assert code(admin.put(path, json=body)) == (409, "change-id-taken")


def test_a_patch_says_what_changes_alone(admin: httpx.Client) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    for body in ({"status": "frozen"}, {"credit_limit": 5}):
        text = json.dumps(body)
        answer = admin.patch("/v1/accounts/7", content=text, headers=merge)
        assert answer.status_code == 202
    nothing = admin.patch("/v1/accounts/7", json={"reason": "none"})
    assert code(nothing) == (422, "invalid-request")
    opens = admin.patch("/v1/accounts/7", json={"currency": "EUR"})
    assert code(opens) == (422, "invalid-request")


@pytest.mark.parametrize(
    "path, body, field",
    [
        ("0", EUR, "account"),
        ("-1", EUR, "account"),
        ("9223372036854775808", EUR, "account"),
        ("7", {"credit_limit": 1}, "currency"),
        ("7", {**EUR, "currency": "eur"}, "currency"),
        ("7", {**EUR, "credit_limit": -1}, "credit_limit"),
        ("7", {**EUR, "credit_limit": 10**18 + 1}, "credit_limit"),
        ("7", {**EUR, "credit_limit": 1.0}, "credit_limit"),
        ("7", {**EUR, "status": "locked"}, "status"),
        ("7", {**EUR, "reason": "x" * 141}, "reason"),
        ("7", {**EUR, "reason": "ü" * 71}, "reason"),
        ("7", {**EUR, "reason": "a\u202eb"}, "reason"),
        ("7", {**EUR, "change_id": str(uuid4()).replace("-", "")}, "change_id"),
        (
            "7",
            {**EUR, "change_id": "00000000-0000-0000-0000-000000000000"},
            "change_id",
        ),
        ("7", {**EUR, "changed_by": "the boss"}, "changed_by"),
        ("7", {**EUR, "debits": 0}, "debits"),
    ],
)
def test_a_wrong_field_is_named(
    admin: httpx.Client, path: str, body: object, field: str
) -> None:
    answer = admin.put(f"/v1/accounts/{path}", json=body)
    assert code(answer) == (422, "invalid-request")
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_field_that_is_there_twice_is_refused(admin: httpx.Client) -> None:
    text = '{"currency": "EUR", "credit_limit": 1, "credit_limit": 1000}'
    answer = admin.put("/v1/accounts/7", content=text)
    assert code(answer) == (422, "invalid-request")


def test_what_is_no_json_is_said_to_be_none(admin: httpx.Client) -> None:
    assert code(admin.put("/v1/accounts/7", content="{")) == (400, "malformed-json")
    text = {"Content-Type": "text/plain"}
    answer = admin.put("/v1/accounts/7", content="{}", headers=text)
    assert code(answer) == (415, "unsupported-media-type")


def test_who_may_only_pay_changes_no_account(
    served: Served, admin: httpx.Client
) -> None:
    change_id = admin.put("/v1/accounts/7", json=EUR).json()["change_id"]
    with served.http() as payer:
        payer.headers["Authorization"] = "payer"
        put = payer.put("/v1/accounts/7", json=EUR)
        assert code(put) == (403, "forbidden")
        assert 'scope="accounts:write"' in put.headers["www-authenticate"]
        get = payer.get(f"/v1/account-changes/{change_id}")
        assert code(get) == (403, "forbidden")


def test_a_token_for_some_accounts_changes_those(served: Served) -> None:
    with served.http() as branch:
        branch.headers["Authorization"] = "branch"
        assert branch.put("/v1/accounts/700", json=EUR).status_code == 202
        other = branch.put("/v1/accounts/800", json=EUR)
        assert code(other) == (403, "account-not-yours")
        assert "account 800 to change" in other.json()["detail"]


def test_only_if_there_is_none_may_be_asked_for(admin: httpx.Client) -> None:
    only_new = {"If-None-Match": "*"}
    answer = admin.put("/v1/accounts/7", json=EUR, headers=only_new)
    assert answer.status_code == 202
    etag = {"If-None-Match": '"1"'}
    assert code(admin.put("/v1/accounts/7", json=EUR, headers=etag)) == (
        422,
        "invalid-request",
    )


def test_a_change_of_nobody_is_unknown(admin: httpx.Client) -> None:
    answer = admin.get(f"/v1/account-changes/{uuid4()}")
    assert code(answer) == (404, "unknown-change")


def test_without_kafka_it_is_said_that_nobody_knows(
    served: Served, admin: httpx.Client
) -> None:
    mine = {**EUR, "change_id": str(uuid4())}
    served.kafka.clear()
    answer = admin.put("/v1/accounts/7", json=mine)
    assert code(answer) == (503, "outcome-unknown")
    assert int(answer.headers["retry-after"]) >= 1
    served.kafka.set()
    answer = admin.put("/v1/accounts/7", json=mine)
    assert answer.status_code == 202
