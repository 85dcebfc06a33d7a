"""The HTTP API on the real stack: what it answers, and what the ledger says then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from local.platform import Platform
from local.processes.waiting import wait_until
from producers.store.client import StoreClient, StoreRefused
from producers.store.states import State
from tests.fix_platform import balance, emit, transfer, verdict
from tests.integration.api import (
    JSON,
    Secured,
    client_of,
    id_in,
    payment,
    put,
    serving,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    """A Store's address, with a Bank behind it."""
    with platform.bank(), serving(platform) as (_, url):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[StoreClient]:
    with client_of(url) as client:
        yield client


def test_a_transfer_is_committed_and_then_posted(
    platform: Platform, client: StoreClient
) -> None:
    sent = transfer(amount=250, memo="Grüße ☕")
    assert client.send(sent).state is State.COMMITTED
    states = [status.state for status in client.events(sent.transfer_id)]
    assert states in ([State.COMMITTED, State.POSTED], [State.POSTED])
    assert client.status(sent.transfer_id).state is State.POSTED
    assert verdict(platform, sent.transfer_id) == "POSTED"
    assert (balance(platform, 1), balance(platform, 101)) == (-250, 250)
    platform.wait_applied(1)
    assert platform.audit().invariants_ok


def test_a_refusal_of_the_bank_is_told_with_its_reason(client: StoreClient) -> None:
    poor = client.send(transfer(payer=101, payee=102), wait_seconds=20)
    assert (poor.state, poor.reason) == (State.DECLINED, "INSUFFICIENT_FUNDS")
    nobody = client.send(transfer(payer=999), wait_seconds=20)
    assert (nobody.state, nobody.reason) == (State.DECLINED, "UNKNOWN_ACCOUNT")


def test_a_repeat_gives_the_status_and_has_no_second_effect(
    platform: Platform, client: StoreClient
) -> None:
    sent = transfer(amount=40)
    for _ in range(3):
        client.send(sent)
    final = client.send(sent, wait_seconds=20)
    assert final.state is State.POSTED
    assert client.send(sent).state is State.POSTED
    assert balance(platform, 101) == 40
    platform.wait_applied(1)


def test_an_id_carries_one_payment_only(platform: Platform, url: str) -> None:
    transfer_id = uuid4()
    assert put(url, payment(amount=1), transfer_id).status_code == 202
    other = put(url, payment(amount=2), transfer_id)
    assert (other.status_code, other.json()["code"]) == (409, "transfer-id-taken")
    assert other.headers["Content-Type"] == "application/problem+json"
    platform.wait_applied(1)
    assert balance(platform, 101) == 1


def test_an_idempotency_key_stands_for_one_payment(url: str) -> None:
    def post(body: object, key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        path = f"{url}/v1/transfers?wait=20"
        return httpx.post(path, json=body, headers=headers, timeout=30)

    first, again = post(payment(), "order-1"), post(payment(), "order-1")
    assert first.status_code == again.status_code == 200
    assert id_in(first) == id_in(again)
    assert id_in(post(payment(), "order-2")) != id_in(first)
    other = post(payment(amount=7), "order-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_without_an_id_each_post_is_a_payment_of_its_own(
    platform: Platform, url: str
) -> None:
    answers = [httpx.post(f"{url}/v1/transfers", json=payment()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({id_in(answer) for answer in answers}) == 2
    assert id_in(answers[0]).version == 7
    platform.wait_applied(2)
    assert balance(platform, 101) == 200


def test_a_batch_is_answered_line_by_line(platform: Platform, url: str) -> None:
    good = [transfer(payer=payer, amount=5) for payer in range(1, 51)]
    lines = [line.model_dump_json() for line in good]
    lines[10:10] = ["{nonsense", '{"transfer_id": "x"}', ""]
    answer = httpx.post(
        f"{url}/v1/transfers:batch",
        content="\n".join(lines).encode(),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=30,
    )
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["line"] for each in found] == [*range(1, 13), *range(14, 54)]
    wrong = [each["problem"]["code"] for each in found if "problem" in each]
    assert wrong == ["malformed-json", "invalid-request"]
    assert {each["state"] for each in found if "state" in each} == {"committed"}
    platform.wait_applied(50)
    assert balance(platform, 101) == 250


def test_the_client_sends_a_batch_and_repeats_it_without_effect(
    platform: Platform, client: StoreClient
) -> None:
    batch = [transfer(payer=1 + n % 100, amount=1) for n in range(3_000)]
    for _ in range(2):
        answers = client.send_all(batch)
        assert [a.transfer_id for a in answers] == [t.transfer_id for t in batch]
        assert all(answer.problem is None for answer in answers)
    platform.wait_applied(3_000)
    assert balance(platform, 101) == 3_000


def test_what_came_another_way_is_told_apart(
    platform: Platform, client: StoreClient
) -> None:
    elsewhere = transfer(amount=9)
    emit(platform, elsewhere)
    platform.wait_applied(1)
    with pytest.raises(StoreRefused):
        client.status(elsewhere.transfer_id)
    told = client.send(elsewhere, wait_seconds=20)
    assert (told.state, told.first_state) == (State.EXISTS, State.POSTED)
    other = elsewhere.model_copy(update={"amount": 8})
    platform.wait_applied(2)
    with pytest.raises(StoreRefused, match="belongs to another payment"):
        client.send(other)
    assert balance(platform, 101) == 9


def test_a_client_sees_and_touches_only_its_own(
    platform: Platform, tmp_path: Path
) -> None:
    secured = Secured(tmp_path)
    ann, bob = secured.headers("ann"), secured.headers("bob")
    reader = secured.headers("ann", scopes="transfers:read")
    with platform.bank(), serving(platform, **secured.settings()) as (_, url):
        assert url.startswith("https://")
        with httpx.Client(base_url=url, verify=secured.trust, timeout=30) as http:
            path = f"/v1/transfers/{uuid4()}"
            mine = http.put(f"{path}?wait=20", json=payment(), headers=ann)
            assert (mine.status_code, mine.json()["state"]) == (200, "posted")
            assert http.get(path, headers=reader).json()["state"] == "posted"
            for answer, code in (
                (http.get(path, headers=bob), "unknown-transfer"),
                (http.get(f"{path}/events", headers=bob), "unknown-transfer"),
                (http.put(path, json=payment(), headers=bob), "transfer-id-taken"),
                (http.put(path, json=payment(), headers=reader), "forbidden"),
                (http.put(path, json=payment()), "unauthenticated"),
                (http.get(path, headers={"Authorization": "Bearer x"}), None),
            ):
                assert answer.json()["code"] == (code or "unauthenticated")
                assert "100" not in answer.json()["detail"], "tells of the payment"
    platform.wait_applied(1)


def test_plain_http_is_not_spoken_where_tls_is(
    platform: Platform, tmp_path: Path
) -> None:
    secured = Secured(tmp_path)
    with serving(platform, **secured.settings()) as (_, url):
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https://", "http://"))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url)  # by an authority that this machine does not know


def test_another_replica_answers_for_all_and_so_does_a_new_one(
    platform: Platform,
) -> None:
    sent = transfer()
    with platform.bank(), serving(platform, "a") as (_, a), client_of(a) as first:
        with serving(platform, "b") as (_, b), client_of(b) as second:
            assert first.send(sent, wait_seconds=20).state is State.POSTED
            wait_until(
                lambda: httpx.get(f"{b}/v1/transfers/{sent.transfer_id}").is_success,
                what="the other replica to know of it",
                timeout_seconds=20,
            )
            assert [s.state for s in second.events(sent.transfer_id)][-1] == "posted"
            assert second.send(sent).state is State.POSTED  # sent no second time
            other = put(b, payment(amount=77), sent.transfer_id)
            assert other.status_code == 409
    with serving(platform, "c") as (_, c), client_of(c) as third:
        assert (
            third.status(sent.transfer_id).state is State.POSTED
        )  # from the log alone
    platform.wait_applied(1)
    assert balance(platform, 101) == 100


def test_an_index_that_is_kept_is_not_read_again(
    platform: Platform, tmp_path: Path
) -> None:
    sent, kept = transfer(), tmp_path / "index"
    with platform.bank():
        with serving(platform, index=kept) as (store, url), client_of(url) as client:
            assert client.send(sent, wait_seconds=20).state is State.POSTED
            assert store.terminate() == 0
        with serving(platform, index=kept) as (_, url), client_of(url) as client:
            assert client.status(sent.transfer_id).state is State.POSTED


def test_the_openapi_document_and_the_pages_are_served(url: str) -> None:
    document = httpx.get(f"{url}/openapi.json").json()
    assert sorted(document["paths"]) == [
        "/v1/account-changes/{change_id}",
        "/v1/accounts/{account}",
        "/v1/transfers",
        "/v1/transfers/{transfer_id}",
        "/v1/transfers/{transfer_id}/events",
        "/v1/transfers:batch",
    ]
    for path, word in (
        ("/", "Send a transfer"),
        ("/docs", "swagger"),
        ("/problems", "409"),
    ):
        page = httpx.get(f"{url}{path}")
        assert page.status_code == 200 and word in page.text, path
    unknown = httpx.put(f"{url}/v1/transfers/{uuid4()}", content=b"{", headers=JSON)
    assert unknown.json()["code"] == "malformed-json"


def test_a_store_without_its_schema_ends_and_says_what_to_do(
    platform: Platform,
) -> None:
    with platform.store_api(receipts_topic="unregistered") as store:
        assert store.process.wait(60) == 78, store.text
    assert "unregistered-value" in store.text and "make register" in store.text
