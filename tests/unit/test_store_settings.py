"""Settings of the Store that serves: what is missing or unsafe is said by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from once.errors import Defect
from once.settings import load
from producers.store.settings import ServeSettings

SAFE = {
    "STORE_TLS_CERT": "cert.pem",
    "STORE_TLS_KEY": "key.pem",
    "STORE_JWKS": "jwks.json",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One that has the brokers and nothing else of the Store's."""
    for name in os.environ:
        if name.upper().startswith("STORE_"):
            monkeypatch.delenv(name)
    put(monkeypatch, STORE_BOOTSTRAP_SERVERS="a:1", STORE_REGISTRY_URL="http://b")
    return monkeypatch


def put(environment: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def wrong() -> str:
    """The sentence with which they are refused."""
    with pytest.raises(Defect) as caught:
        load(ServeSettings)
    sentence = str(caught.value)
    assert sentence.startswith("settings missing or wrong: ")
    assert sentence.endswith("; see docs/operations.md")
    assert "\n" not in sentence
    return sentence


def test_with_certificate_and_keys_any_address_will_do(
    environment: pytest.MonkeyPatch,
) -> None:
    put(environment, **SAFE, STORE_HOST="0.0.0.0")
    settings = load(ServeSettings)
    assert not settings.demo
    assert (settings.host, settings.tls_cert) == ("0.0.0.0", Path("cert.pem"))


@pytest.mark.parametrize("missing", SAFE)
@pytest.mark.parametrize("as_empty", [False, True])
def test_without_one_of_them_it_names_them_and_the_way_out(
    environment: pytest.MonkeyPatch, missing: str, as_empty: bool
) -> None:
    put(environment, **{name: v for name, v in SAFE.items() if name != missing})
    if as_empty and missing == "STORE_JWKS":
        environment.setenv(missing, "")
    sentence = wrong()
    for name in (*SAFE, "make certs", "STORE_DEMO=1"):
        assert name in sentence


def test_a_demo_needs_nothing_more(environment: pytest.MonkeyPatch) -> None:
    put(environment, STORE_DEMO="1")
    settings = load(ServeSettings)
    assert settings.demo and settings.host == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_demo_serves_on_loopback(environment: pytest.MonkeyPatch, host: str) -> None:
    put(environment, STORE_DEMO="1", STORE_HOST=host)
    assert load(ServeSettings).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "192.168.1.1"])
@pytest.mark.parametrize("more", [{}, SAFE], ids=["bare", "with all else"])
def test_a_demo_serves_nowhere_else(
    environment: pytest.MonkeyPatch, host: str, more: dict[str, str]
) -> None:
    put(environment, STORE_DEMO="1", STORE_HOST=host, **more)
    sentence = wrong()
    assert "STORE_DEMO" in sentence and "STORE_HOST" in sentence


@pytest.mark.parametrize("host", ["store.example", "localhost.example", "", "127.1"])
def test_a_demo_believes_no_other_name(
    environment: pytest.MonkeyPatch, host: str
) -> None:
    put(environment, STORE_DEMO="1", STORE_HOST=host)
    assert repr(host) in wrong()


def test_every_setting_that_is_missing_is_named(
    environment: pytest.MonkeyPatch,
) -> None:
    for name in ("STORE_BOOTSTRAP_SERVERS", "STORE_REGISTRY_URL"):
        environment.delenv(name)
    sentence = wrong()
    assert "STORE_BOOTSTRAP_SERVERS" in sentence
    assert "STORE_REGISTRY_URL" in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE_PORT", "http"),
        ("STORE_DEMO", "perhaps"),
        ("STORE_TOKEN_LEEWAY_SECONDS", "-1"),
        ("STORE_REQUESTS_MAX", "0"),
        ("STORE_CONNECTIONS_MAX", "0"),
        ("STORE_HEADER_BYTES_MAX", "0"),
        ("STORE_BODY_BYTES_MAX", "-1"),
        ("STORE_BATCH_BYTES_MAX", "64 MB"),
        ("STORE_RECEIVE_SECONDS_MAX", "0"),
        ("STORE_ANSWER_SECONDS_MAX", "0"),
        ("STORE_JOURNAL_TRANSFERS_MAX", "0"),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    put(environment, **SAFE)
    put(environment, **{name: value})
    assert name in wrong()
