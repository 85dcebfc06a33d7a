"""Asks a running Store whether it does its work: what a deployment waits for.

A stranger is sent away; a transfer is posted, once; the same id with another amount is
refused. It moves real money, the smallest amount, between two accounts for this.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import numpy as np

from once.errors import Defect, OnceError
from producers.store.api.models import TransferStatus
from producers.store.client import StoreClient, StoreRefused
from producers.store.ids import uuid7
from producers.store.settings import SmokeSettings
from producers.store.states import State
from producers.store.transfers import Transfer, now_ms


class SmokeFailed(OnceError):
    """The Store answered, and not as it must."""


class Smoke:
    """The questions, in order. Each raises OnceError when the answer is wrong."""

    def __init__(self, settings: SmokeSettings) -> None:
        self._settings = settings
        self._trust = None if settings.ca is None else _trust(settings.ca)

    def run(self, say: Callable[[str], None]) -> None:
        """Ask all of them, and say what held."""
        transfer = self._transfer()
        if self._settings.token is not None:
            self._a_stranger_is_sent_away(transfer)
            say("without a token: sent away")
        with self._client(self._token) as store:
            first = self._posted(store, transfer)
            say(f"{transfer.transfer_id}: {first.state}")
            again = store.send(transfer, self._settings.wait_seconds)
            _expect(again.state, first.state, "sent again, it")
            say("sent again: the same answer")
            self._another_payload_is_refused(store, transfer)
            say("the same id with another amount: refused")
            _expect(store.status(transfer.transfer_id).state, first.state, "asked, it")
            say("asked for: the same answer")

    @property
    def _token(self) -> str | None:
        token = self._settings.token
        return token.get_secret_value() if token else None

    def _client(self, token: str | None) -> StoreClient:
        return StoreClient(
            self._settings.url,
            token,
            deadline_seconds=self._settings.wait_seconds,
            trust=self._trust,
        )

    def _a_stranger_is_sent_away(self, transfer: Transfer) -> None:
        with self._client(None) as store:
            try:
                store.send(transfer)
            except StoreRefused as refused:
                _expect(refused.problem.status, 401, "without a token, the status")
                return
        raise SmokeFailed("a transfer without a token was taken")

    def _posted(self, store: StoreClient, transfer: Transfer) -> TransferStatus:
        """The Bank must be at work too: a verdict is waited for."""
        status = store.send(transfer, self._settings.wait_seconds)
        if status.state is State.DECLINED:
            raise SmokeFailed(
                f"account {transfer.debit_account} cannot pay {transfer.amount}: "
                f"{status.reason}; open the smoke test's accounts"
            )
        _expect(status.state, State.POSTED, "a new transfer")
        return status

    def _another_payload_is_refused(
        self, store: StoreClient, transfer: Transfer
    ) -> None:
        other = transfer.model_copy(update={"amount": transfer.amount + 1})
        try:
            store.send(other)
        except StoreRefused as refused:
            _expect(refused.problem.status, 409, "with another amount, the status")
            return
        raise SmokeFailed("one id was taken for two different transfers")

    def _transfer(self) -> Transfer:
        return Transfer(
            transfer_id=uuid7(now_ms(), np.random.default_rng()),
            debit_account=self._settings.debit_account,
            credit_account=self._settings.credit_account,
            amount=self._settings.amount,
            currency=self._settings.currency,
            memo="smoke test",
        )


def _trust(ca: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise Defect(f"SMOKE_CA, {ca}, cannot be read: {error}") from None


def _expect(actual: object, wanted: object, what: str) -> None:
    if actual != wanted:
        raise SmokeFailed(f"{what} is {actual}, not {wanted}")
