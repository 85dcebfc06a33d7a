"""A deployment's smoke test: a Store that does its work passes, any other is named.

Wrong answers are given by a scripted Store; what it does right, it does as ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from pydantic import SecretStr

from once.errors import OnceError
from producers.store.api.auth import Gate
from producers.store.client import DeadlineExceeded, StoreRefused
from producers.store.settings import SmokeSettings
from producers.store.smoke import Smoke, SmokeFailed
from tests.unit.issuing import jwk, opened, token, write
from tests.unit.serving import serving

TOKEN = "of-the-smoke-test"
Answer = tuple[int, dict[str, Any]]


class Script:
    """A Store with a Bank that answers as they must."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, Any]] = {}
        self.sends = 0

    def put(self, stranger: bool, transfer_id: str, body: dict[str, Any]) -> Answer:
        """PUT of a transfer."""
        if stranger:
            return self.to_a_stranger()
        self.sends += 1
        if self.taken.setdefault(transfer_id, body) != body:
            return self.to_another_payload(transfer_id)
        return self.status(transfer_id, self.state())

    def get(self, transfer_id: str) -> Answer:
        """GET of its status."""
        return self.status(transfer_id, "posted")

    def state(self) -> str:
        """How far the transfer is that was just sent."""
        return "posted"

    def to_a_stranger(self) -> Answer:
        return problem(401, "unauthorized")

    def to_another_payload(self, transfer_id: str) -> Answer:
        return problem(409, "transfer-id-reused")

    @staticmethod
    def status(transfer_id: str, state: str, reason: str | None = None) -> Answer:
        found = {"transfer_id": transfer_id, "state": state, "reason": reason}
        return 200, found


class TakesStrangers(Script):
    def to_a_stranger(self) -> Answer:
        return self.status(str(UUID(int=0)), "posted")


class SendsStrangersElsewhere(Script):
    def to_a_stranger(self) -> Answer:
        return problem(403, "forbidden")


class HasAnIdleBank(Script):
    def state(self) -> str:
        return "committed"


class HasAnIdlerStore(Script):
    def state(self) -> str:
        return "queued"


class CannotReadRecords(Script):
    def state(self) -> str:
        return "quarantined"


class Declines(Script):
    def put(self, stranger: bool, transfer_id: str, body: dict[str, Any]) -> Answer:
        if stranger:
            return self.to_a_stranger()
        return self.status(transfer_id, "declined", "unknown_debit_account")


class ChangesItsMind(Script):
    def state(self) -> str:
        return "posted" if self.sends == 1 else "exists"


class TakesASecondPayload(Script):
    def to_another_payload(self, transfer_id: str) -> Answer:
        return self.status(transfer_id, "posted")


class RefusesASecondPayloadForNothing(Script):
    def to_another_payload(self, transfer_id: str) -> Answer:
        return problem(422, "invalid-request")


class Forgets(Script):
    def get(self, transfer_id: str) -> Answer:
        return problem(404, "unknown-transfer")


class TellsAnotherState(Script):
    def get(self, transfer_id: str) -> Answer:
        return self.status(transfer_id, "conflict")


class RefusesTheToken(Script):
    def put(self, stranger: bool, transfer_id: str, body: dict[str, Any]) -> Answer:
        return self.to_a_stranger()


class IsNeverThere(Script):
    def put(self, stranger: bool, transfer_id: str, body: dict[str, Any]) -> Answer:
        return self.to_a_stranger() if stranger else problem(503, "overloaded")


WRONG: list[tuple[type[Script], type[OnceError], str]] = [
    (TakesStrangers, SmokeFailed, "a transfer without a token was taken"),
    (SendsStrangersElsewhere, SmokeFailed, "without a token, the status is 403, not"),
    (HasAnIdleBank, SmokeFailed, "a new transfer is committed, not posted"),
    (HasAnIdlerStore, SmokeFailed, "a new transfer is queued, not posted"),
    (CannotReadRecords, SmokeFailed, "a new transfer is quarantined, not posted"),
    (
        Declines,
        SmokeFailed,
        "account 7 cannot pay 3: unknown_debit_account; open the smoke test's accounts",
    ),
    (ChangesItsMind, SmokeFailed, "sent again, it is exists, not posted"),
    (TakesASecondPayload, SmokeFailed, "one id was taken for two different transfers"),
    (
        RefusesASecondPayloadForNothing,
        SmokeFailed,
        "with another amount, the status is 422, not 409",
    ),
    (Forgets, StoreRefused, "unknown-transfer"),
    (TellsAnotherState, SmokeFailed, "asked, it is conflict, not posted"),
    (RefusesTheToken, StoreRefused, "unauthorized"),
    (IsNeverThere, DeadlineExceeded, "no final answer of http"),
]


def problem(status: int, code: str) -> Answer:
    found = {"type": f"/problems#{code}", "title": code, "status": status}
    return status, {**found, "detail": "Because.", "code": code}


@contextmanager
def playing(script: Script) -> Iterator[str]:
    """A server that answers so, and its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stranger = self.headers["Authorization"] != f"Bearer {TOKEN}"
            self._answer(script.put(stranger, self._id, body))

        def do_GET(self) -> None:
            self._answer(script.get(self._id))

        def log_message(self, format: str, *args: object) -> None:
            pass

        @property
        def _id(self) -> str:
            return urlsplit(self.path).path.rpartition("/")[2]

        def _answer(self, answer: Answer) -> None:
            content = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str, secret: str | None = TOKEN) -> list[str]:
    """What the smoke test says of the Store at this address."""
    settings = SmokeSettings(
        url=url,
        token=None if secret is None else SecretStr(secret),
        debit_account=7,
        credit_account=8,
        amount=3,
        wait_seconds=0.3,
    )
    said: list[str] = []
    Smoke(settings).run(said.append)
    return said


def test_a_store_that_does_its_work_passes_and_was_paid_once() -> None:
    script = Script()
    with playing(script) as url:
        said = ask(url)
    ((transfer_id, body),) = script.taken.items()
    assert said == [
        "without a token: sent away",
        f"{transfer_id}: posted",
        "sent again: the same answer",
        "the same id with another amount: refused",
        "asked for: the same answer",
    ]
    paid = {name: body[name] for name in ("debit_account", "credit_account", "amount")}
    assert paid == {"debit_account": 7, "credit_account": 8, "amount": 3}
    assert (body["currency"], body["memo"]) == ("EUR", "smoke test")


def test_every_run_sends_a_transfer_of_its_own() -> None:
    script = Script()
    with playing(script) as url:
        ask(url)
        ask(url)
    assert len(script.taken) == 2


def test_a_demo_asks_for_no_token_and_is_not_asked_to() -> None:
    class Demo(Script):
        def to_a_stranger(self) -> Answer:
            raise AssertionError("nobody is one")

        def put(self, stranger: bool, transfer_id: str, body: dict[str, Any]) -> Answer:
            return super().put(False, transfer_id, body)

    with playing(Demo()) as url:
        assert "without a token: sent away" not in ask(url, secret=None)


@pytest.mark.parametrize(
    ("script", "error", "said"), WRONG, ids=[each[0].__name__ for each in WRONG]
)
def test_what_a_store_does_wrong_is_named(
    script: type[Script], error: type[OnceError], said: str
) -> None:
    with playing(script()) as url, pytest.raises(OnceError) as caught:
        ask(url)
    assert type(caught.value) is error
    assert said in str(caught.value)


def test_where_nobody_listens_it_ends_at_its_deadline(unused_port: int) -> None:
    with pytest.raises(DeadlineExceeded, match="no final answer"):
        ask(f"http://127.0.0.1:{unused_port}")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """What our Store asks tokens with."""
    write(tmp_path / "jwks.json", jwk("EdDSA"))
    return opened(tmp_path / "jwks.json")


def test_our_store_without_a_bank_fails_for_that_alone(
    gate: Gate, tmp_path: Path
) -> None:
    good = token().removeprefix("Bearer ")
    with serving(tmp_path, gate.client) as served:
        url = "http://{}:{}".format(*served.address)
        with pytest.raises(SmokeFailed, match="a new transfer is committed, not "):
            ask(url, good)
        with pytest.raises(StoreRefused):
            ask(url, token(aud="another").removeprefix("Bearer "))


def test_our_store_without_its_door_is_found(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        url = "http://{}:{}".format(*served.address)
        with pytest.raises(SmokeFailed, match="without a token was taken"):
            ask(url)
