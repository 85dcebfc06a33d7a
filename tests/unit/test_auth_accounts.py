"""Which accounts a token lets its client debit, whatever way it sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from producers.store.api.auth import WRITE, Gate
from producers.store.api.clients import ACCOUNTS_MAX, ANY_ACCOUNT, accounts_of
from producers.store.problems import Kind, Problem
from tests.unit.issuing import opened, run, token
from tests.unit.serving import FIELDS, serving

TRANSFERS = "/v1/transfers"
NDJSON = "application/x-ndjson"


def may_debit(gate: Gate, account: int, **claims: Any) -> bool:
    client = run(gate.client(token(**claims)))
    try:
        client.require_account(account)
    except Problem as problem:
        assert problem.kind is Kind.NOT_YOUR_ACCOUNT
        assert str(account) in problem.detail
        return False
    return True


# -- what the claim says ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("claim", "yes", "no"),
    [
        ([7], [7], [6, 8]),
        (["7-9"], [7, 8, 9], [6, 10]),
        ([1, "100-199", 5], [1, 5, 100, 150, 199], [2, 99, 200]),
        (["9-7"], [], [7, 8, 9]),
        (["007-9"], [7, 9], [6]),
        (["0-9223372036854775807"], [1, 2**63 - 1], []),
        ([2**63 - 1], [2**63 - 1], [1]),
        ([-7], [], [7]),
        ([], [], [1]),
    ],
)
def test_a_token_names_the_accounts_to_debit(
    gate: Gate, claim: list[object], yes: list[int], no: list[int]
) -> None:
    for account in yes:
        assert may_debit(gate, account, accounts=claim)
    for account in no:
        assert not may_debit(gate, account, accounts=claim)


WRONG: list[object] = [
    *(7, "7", "7-9", True, {}, {"7": 1}, ""),
    *(["7"], ["7 - 9"], ["7-"], ["-9"], ["7-9-11"], ["a-b"], ["7-9\n"], ["+7-9"]),
    *([True], [False], [7.0], [None], [[7]], [{}], ["٧-٩"], ["1-" + "9" * 20]),
    [1, 2, "three"],
    list(range(ACCOUNTS_MAX + 1)),
]


@pytest.mark.parametrize("claim", WRONG, ids=lambda claim: repr(claim)[:20])
def test_a_claim_that_is_not_understood_opens_nothing(
    gate: Gate, claim: object
) -> None:
    """Not even as if it were not there."""
    for scope in (WRITE, f"{WRITE} {ANY_ACCOUNT}"):
        with pytest.raises(Problem, match="accounts") as caught:
            run(gate.client(token(accounts=claim, scope=scope)))
        assert caught.value.kind is Kind.UNAUTHENTICATED
        assert 'error="invalid_token"' in (caught.value.challenge or "")


def test_a_claim_of_null_is_not_understood_either() -> None:
    with pytest.raises(ValueError):
        accounts_of(None)


def test_as_many_as_there_may_be_are_understood() -> None:
    assert len(accounts_of(list(range(ACCOUNTS_MAX)))) == ACCOUNTS_MAX


# -- tokens without it -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("setting", "claims", "may"),
    [
        ("optional", {}, True),
        ("required", {}, False),
        ("required", {"scope": f"{WRITE} {ANY_ACCOUNT}"}, True),
        ("required", {"scope": f"{WRITE} {ANY_ACCOUNT}s"}, False),
        ("required", {"accounts": [7]}, True),
        ("optional", {"accounts": [8]}, False),
        ("optional", {"accounts": [8], "scope": f"{WRITE} {ANY_ACCOUNT}"}, False),
    ],
)
def test_without_the_claim_it_is_for_the_settings_and_the_scope_to_say(
    jwks: Path, setting: str, claims: dict[str, Any], may: bool
) -> None:
    gate = opened(jwks, token_accounts=setting)
    for _ in range(2):  # the second time from memory
        assert may_debit(gate, 7, **claims) is may


# -- over HTTP -------------------------------------------------------------------------
@pytest.fixture
def http(gate: Gate, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client that may debit account 1, and those from 10 to 19."""
    with serving(tmp_path, gate.client) as served, served.http() as client:
        client.headers["Authorization"] = token(accounts=[1, "10-19"])
        yield client


@pytest.mark.parametrize("way", ["PUT", "PUT?wait=0", "POST"])
def test_another_account_is_refused_and_nothing_is_sent(
    http: httpx.Client, way: str
) -> None:
    method, _, query = way.partition("?")
    for account, status in ((1, 202), (15, 202), (2, 403), (20, 403)):
        mine = uuid4()
        path = f"{TRANSFERS}/{mine}?{query}" if method == "PUT" else TRANSFERS
        fields = {**FIELDS, "debit_account": account, "credit_account": 99}
        answer = http.request(method, path, json=fields)
        assert answer.status_code == status
        made = answer.json()["transfer_id"]
        known = http.get(f"{TRANSFERS}/{made}").status_code
        if status == 202:
            assert known == 200
            continue
        assert known == 404
        assert answer.json()["code"] == "account-not-yours"
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_of_a_batch_only_the_lines_of_ones_own_accounts_are_taken(
    http: httpx.Client,
) -> None:
    lines = [
        json.dumps(
            {
                **FIELDS,
                "transfer_id": str(uuid4()),
                "debit_account": account,
                "credit_account": 99,
            }
        )
        for account in (1, 2, 19)
    ]
    answer = http.post(
        f"{TRANSFERS}:batch",
        content="\n".join(lines).encode(),
        headers={"Content-Type": NDJSON},
    )
    found = [json.loads(each) for each in answer.text.splitlines()]
    said = [each.get("state") or each["problem"]["code"] for each in found]
    assert said == ["committed", "account-not-yours", "committed"]


def test_anybody_may_credit_any_account(http: httpx.Client) -> None:
    fields = {**FIELDS, "debit_account": 1, "credit_account": 2}
    assert http.put(f"{TRANSFERS}/{uuid4()}", json=fields).status_code == 202
