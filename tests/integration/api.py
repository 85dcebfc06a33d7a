"""A Store that serves HTTP, and its clients, for the tests of the API."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from local.platform import Platform, Program
from local.platform.credentials import ISSUER, Certificates, Issuer
from local.processes.waiting import wait_until
from producers.store.client import StoreClient
from tests.fix_platform import health_url

JSON = {"Content-Type": "application/json"}


@contextmanager
def serving(
    platform: Platform, instance: str = "api", **settings: Any
) -> Iterator[tuple[Program, str]]:
    """A Store that is ready, and its address; killed at the end, if it still runs."""
    with platform.store_api(instance, **settings) as store:
        url = store.url()
        wait_until(
            lambda: is_ready(store), what=f"{store.log} to be ready", timeout_seconds=30
        )
        yield store, url


def is_ready(store: Program) -> bool:
    """Whether its /readyz says so."""
    return httpx.get(f"{health_url(store.text)}/readyz").is_success


@contextmanager
def client_of(url: str, **options: Any) -> Iterator[StoreClient]:
    """A client of the Store at this address."""
    with StoreClient(url, **options) as client:
        yield client


def payment(payer: int = 1, payee: int = 101, amount: int = 100, **more: object) -> Any:
    """The body of a transfer that would be posted, unless `more` says otherwise."""
    body = {"debit_account": payer, "credit_account": payee, "amount": amount}
    return {**body, "currency": "EUR", **more}


def put(
    url: str, body: Any, transfer_id: UUID | None = None, **more: Any
) -> httpx.Response:
    """PUT one transfer, without any repetition."""
    path = f"{url}/v1/transfers/{transfer_id or uuid4()}"
    return httpx.put(path, json=body, timeout=30, **more)


def id_in(answer: httpx.Response) -> UUID:
    """The transfer_id that an answer names."""
    return UUID(answer.json()["transfer_id"])


class Secured:
    """Certificates, tokens, and the settings of a Store that asks for both."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder / "certs")
        self.certificates.make()
        self.issuer = Issuer(folder / "auth")
        self.trust = ssl.create_default_context(cafile=str(self.certificates.ca))

    def settings(self) -> dict[str, Any]:
        """STORE_... in small letters."""
        return {
            "tls_cert": self.certificates.cert,
            "tls_key": self.certificates.key,
            "jwks": self.issuer.jwks,
            "token_issuer": ISSUER,
        }

    def headers(self, client: str, **token: Any) -> dict[str, str]:
        """What a client with a token sends."""
        return {"Authorization": f"Bearer {self.issuer.token(client, **token)}"}
