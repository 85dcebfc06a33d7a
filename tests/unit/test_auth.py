"""Tokens: only the issuer's, for us, now, and only for what they say."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from producers.store.api import auth
from producers.store.api.auth import READ, WRITE, Gate, anyone
from producers.store.problems import Kind, Problem
from tests.unit.issuing import (
    AUDIENCE,
    KEYS,
    LEEWAY,
    Clock,
    Fields,
    by_hand,
    jwk,
    new_key,
    opened,
    run,
    shared_secret,
    token,
    write,
)
from tests.unit.serving import PAYMENT, put, serving


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    write(path, *(jwk(algorithm) for algorithm in KEYS))
    return path


def why_not(gate: Gate, authorization: str) -> str:
    """Why this opens nothing."""
    with pytest.raises(Problem) as caught:
        run(gate.client(authorization))
    assert caught.value.kind is Kind.UNAUTHENTICATED
    return caught.value.detail


# -- what a token says -----------------------------------------------------------------
@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_the_issuer_tells_the_client_and_its_scopes(
    gate: Gate, algorithm: str
) -> None:
    good = token(algorithm)
    for _ in range(2):  # the second time from memory
        client = run(gate.client(good))
        assert client.name == "ada"
        assert client.scopes == {WRITE, READ}


def test_the_scheme_may_be_written_in_any_case(gate: Gate) -> None:
    assert run(gate.client(token().replace("Bearer", "bEARER"))).name == "ada"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": None}, '"exp"'),
        ({"sub": None}, '"sub"'),
        ({"aud": None}, '"aud"'),
        ({"iss": None}, '"iss"'),
        ({"aud": "another-store"}, "udience"),
        ({"aud": ["a", "b"]}, "udience"),
        ({"iss": "https://other.example"}, "ssuer"),
        ({"sub": ""}, "subject is empty"),
        ({"exp": "soon"}, "xpiration"),
        ({"nbf": time.time() + 3_600}, "not yet valid"),
    ],
)
def test_a_token_that_says_something_else_opens_nothing(
    gate: Gate, changes: Fields, why: str
) -> None:
    assert why in why_not(gate, token(**changes))


def test_one_audience_of_several_may_be_us(gate: Gate) -> None:
    assert run(gate.client(token(aud=["other", AUDIENCE]))).name == "ada"


def test_without_an_issuer_in_the_settings_any_will_do(jwks: Path) -> None:
    gate = opened(jwks, token_issuer="")
    assert run(gate.client(token(iss=None))).name == "ada"


def test_an_expired_token_is_good_as_long_as_clocks_may_differ(gate: Gate) -> None:
    just_now = token(exp=time.time() - LEEWAY + 10)
    assert run(gate.client(just_now)).name == "ada"
    assert "expired" in why_not(gate, token(exp=time.time() - LEEWAY - 1))


def test_a_token_that_was_good_is_refused_once_it_has_expired(
    gate: Gate, auth_clock: Clock
) -> None:
    once_good = token(exp=int(time.time()) + 60)
    assert run(gate.client(once_good)).name == "ada"
    auth_clock.later = 60 + LEEWAY - 2
    assert run(gate.client(once_good)).name == "ada"
    auth_clock.later = 60 + LEEWAY + 1
    assert "expired" in why_not(gate, once_good)


def test_an_expiry_in_digits_is_a_time_from_memory_too(gate: Gate) -> None:
    digits = token(exp=str(int(time.time()) + 60))
    for _ in range(2):
        assert run(gate.client(digits)).expires_at > time.time()


def test_of_the_tokens_that_were_good_only_so_many_are_kept(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "TOKENS_REMEMBERED_MAX", 2)
    tokens = [token(sub=f"client-{number}") for number in range(4)]
    for _ in range(2):
        names = [run(gate.client(each)).name for each in tokens]
        assert names == [f"client-{number}" for number in range(4)]


# -- forgeries -------------------------------------------------------------------------
def public_forms(key: Any) -> Iterator[bytes]:
    public = key.public_key()
    for encoding in (Encoding.PEM, Encoding.DER):
        yield public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(public, ed25519.Ed25519PublicKey):
        yield public.public_bytes(Encoding.Raw, PublicFormat.Raw)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["EdDSA"]])
@pytest.mark.parametrize("key_id", KEYS)
def test_an_unsigned_token_opens_nothing(
    gate: Gate, algorithm: object, key_id: str
) -> None:
    assert why_not(gate, by_hand({"alg": algorithm, "kid": key_id}))


@pytest.mark.parametrize("name", KEYS)
def test_the_public_key_is_no_secret_to_sign_with(gate: Gate, name: str) -> None:
    for secret in public_forms(KEYS[name]):
        for algorithm in ("HS256", name):
            assert why_not(gate, by_hand({"alg": algorithm, "kid": name}, secret))


def test_a_shared_secret_among_the_keys_is_not_taken(jwks: Path) -> None:
    secret = b"s" * 32
    write(jwks, shared_secret(secret, "shared"), jwk("EdDSA"))
    gate = opened(jwks)
    assert run(gate.client(token())).name == "ada"
    forged = by_hand({"alg": "HS256", "kid": "shared"}, secret)
    assert "not the issuer's" in why_not(gate, forged)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_another_key_opens_nothing(gate: Gate, algorithm: str) -> None:
    assert "ignature" in why_not(gate, token(algorithm, new_key(algorithm)))


def test_a_key_signs_for_its_own_algorithm_only(gate: Gate) -> None:
    other = token("PS256", KEYS["RS256"], "RS256")
    assert "alg value is not allowed" in why_not(gate, other)


def test_a_changed_token_opens_nothing(gate: Gate) -> None:
    header, _, signature = token().split(".")
    _, payload, _ = token(sub="grace").split(".")
    assert "ignature" in why_not(gate, ".".join((header, payload, signature)))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer \xff.\xff.\xff",
        "Bearer W1tb.e30.",
        by_hand({"alg": "EdDSA", "kid": 7}),
        by_hand({"alg": "EdDSA", "kid": None}),
        by_hand({"alg": "EdDSA", "kid": "EdDSA", "crit": ["x"]}),
        "Bearer " + base64.urlsafe_b64encode(b"[" * 6_000).decode() + ".e30.",
        "Basic YWRhOmFkYQ==",
        token().replace("Bearer", "Token"),
        token(padding="x" * auth.TOKEN_BYTES_MAX),
    ],
    ids=lambda text: text[:16],
)
def test_what_is_no_token_opens_nothing(gate: Gate, authorization: str) -> None:
    assert why_not(gate, authorization)


# -- scopes ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (WRITE, {WRITE}),
        (f"{READ} other", {READ}),
        ("", set()),
        (None, set()),
        ([WRITE, READ], set()),
        ("transfers:writer", set()),
    ],
)
def test_a_client_may_do_what_its_scopes_say(
    gate: Gate, scope: object, allowed: set[str]
) -> None:
    client = run(gate.client(token(scope=scope)))
    for each in (WRITE, READ):
        if each in allowed:
            client.require(each)
            continue
        with pytest.raises(Problem, match=each) as caught:
            client.require(each)
        assert caught.value.kind is Kind.FORBIDDEN


def test_where_no_tokens_are_asked_everybody_may_do_everything() -> None:
    client = run(anyone(""))
    client.require(WRITE)
    client.require(READ)


# -- over HTTP -------------------------------------------------------------------------
def test_a_transfer_is_seen_with_a_token_of_its_client_only(
    gate: Gate, tmp_path: Path
) -> None:
    path = f"/v1/transfers/{uuid4()}"
    with serving(tmp_path, gate.client) as served, served.http() as http:

        def call(method: str, said: str) -> int:
            content = PAYMENT if method == "PUT" else None
            headers = {"Authorization": said} if said else {}
            response = http.request(method, path, content=content, headers=headers)
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == "Bearer"
            return response.status_code

        assert call("PUT", "") == 401
        assert call("PUT", token(scope=READ)) == 403
        assert call("PUT", token(scope=WRITE)) == 202
        assert call("GET", token(scope=WRITE)) == 403
        assert call("GET", token(scope=READ)) == 200
        assert call("GET", token(sub="grace")) == 404
        assert call("PUT", token(sub="grace")) == 409


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer \xe9",
        by_hand({"alg": "EdDSA", "kid": "EdDSA", "crit": ["\ud800"]}),
        by_hand({"alg": "\ud800", "kid": "\ud800"}),
    ],
    ids=["not ASCII", "quoted in the answer", "strange in every way"],
)
def test_a_token_that_cannot_be_written_down_is_a_problem_like_any_other(
    gate: Gate, tmp_path: Path, authorization: str
) -> None:
    with serving(tmp_path, gate.client) as served, served.connect() as connection:
        connection.send(put(f"Authorization: {authorization}"))
        answer = connection.answer()
    assert answer is not None and answer.problem()["code"] == "unauthenticated"
