"""The issuer's keys: read once, again when they are old, and when one is missing."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
import trustme
from structlog.testing import capture_logs

from once.errors import Defect
from producers.store.api import auth
from producers.store.api.auth import KEYS_SECONDS_MAX, KEYS_SECONDS_MIN, Gate
from producers.store.problems import Kind, Problem
from tests.unit.issuing import (
    KEYS,
    Clock,
    claims,
    jwk,
    new_key,
    opened,
    run,
    settings_for,
    shared_secret,
    token,
    write,
)

OLD, NEW = jwk("EdDSA"), jwk("ES256")


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read of the JWKS so far."""
    read_jwks, texts = auth.read_jwks, list[str]()

    async def counted(source: str, authority: Path | None) -> str:
        texts.append(await read_jwks(source, authority))
        return texts[-1]

    monkeypatch.setattr(auth, "read_jwks", counted)
    return texts


def opens(gate: Gate, authorization: str) -> bool:
    """Whether this token is taken; it is refused as a token if it is not."""
    try:
        return run(gate.client(authorization)).name == "ada"
    except Problem as problem:
        assert problem.kind is Kind.UNAUTHENTICATED
        return False


# -- new keys --------------------------------------------------------------------------
def test_a_new_key_is_read_when_a_token_names_it(jwks: Path, auth_clock: Clock) -> None:
    gate = opened(jwks)
    write(jwks, OLD, NEW)
    auth_clock.later = KEYS_SECONDS_MIN + 1
    assert opens(gate, token("ES256")) and opens(gate, token())


def test_a_flood_of_strange_key_ids_does_not_read_the_keys_each_time(
    jwks: Path, auth_clock: Clock, readings: list[str]
) -> None:
    gate = opened(jwks)
    for number in range(50):
        assert not opens(gate, token(key_id=f"strange-{number}"))
    assert len(readings) == 1
    auth_clock.later = KEYS_SECONDS_MIN + 1
    for number in range(50):
        assert not opens(gate, token(key_id=f"strange-{number}"))
    assert len(readings) == 2
    assert opens(gate, token())


def test_many_who_wait_for_the_keys_have_them_read_once(
    jwks: Path, auth_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened(jwks)
    write(jwks, OLD, NEW)
    asked = 0

    async def slow(source: str, authority: Path | None) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)  # the others come to wait
        return jwks.read_text()

    async def many() -> list[str]:
        clients = [gate.client(token("ES256", jti=str(n))) for n in range(20)]
        return [client.name for client in await asyncio.gather(*clients)]

    async def twice() -> None:
        for auth_clock.later in (KEYS_SECONDS_MIN + 1, KEYS_SECONDS_MAX * 2):
            assert await many() == ["ada"] * 20

    monkeypatch.setattr(auth, "read_jwks", slow)
    run(twice())
    assert asked == 2


# -- keys taken back -------------------------------------------------------------------
def test_a_key_that_is_taken_back_stops_working_when_the_keys_are_old(
    jwks: Path, auth_clock: Clock
) -> None:
    gate, stolen = opened(jwks), token()
    assert opens(gate, stolen)
    write(jwks, NEW)
    auth_clock.later = KEYS_SECONDS_MAX - 1
    assert opens(gate, stolen), "from memory"
    auth_clock.later = KEYS_SECONDS_MAX + 1
    assert not opens(gate, stolen)
    assert not opens(gate, token())
    assert opens(gate, token("ES256"))


def test_strange_key_ids_do_not_keep_a_key_alive_that_was_taken_back(
    jwks: Path, auth_clock: Clock
) -> None:
    """They make the keys be read, so that these are never old."""
    gate, stolen = opened(jwks), token()
    assert opens(gate, stolen)
    write(jwks, NEW)
    for auth_clock.later in range(0, int(KEYS_SECONDS_MAX) + 20, 10):
        assert not opens(gate, token(key_id="strange"))
    assert not opens(gate, stolen)


def test_another_key_under_the_same_id_takes_over(
    jwks: Path, auth_clock: Clock
) -> None:
    gate, stolen = opened(jwks), token()
    assert opens(gate, stolen)
    other = new_key("EdDSA")
    write(jwks, jwk("EdDSA", other))
    auth_clock.later = KEYS_SECONDS_MAX + 1
    assert not opens(gate, stolen)
    assert opens(gate, token(key=other))


# -- sources that fail -----------------------------------------------------------------
def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILERS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "a folder": folder,
    "empty": lambda path: path.write_text(""),
    "no JSON": lambda path: path.write_text("<html>please log in</html>"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
    "no object": lambda path: path.write_text("[]"),
    "a word": lambda path: path.write_text('"down"'),
    "no keys": lambda path: path.write_text('{"keys": []}'),
    "keys that are none": lambda path: path.write_text('{"keys": [1, {}, null]}'),
    "a list for an id": lambda path: write(path, OLD | {"kid": []}),
    "shared secrets": lambda path: write(path, shared_secret(b"s" * 32, "EdDSA")),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_without_any_keys_the_store_does_not_start_and_says_which_setting(
    jwks: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(jwks)
    with pytest.raises(Defect, match="no keys of the issuer at .*; set STORE_JWKS"):
        opened(jwks)


@pytest.mark.parametrize("url", ["https://", "https://[", "https://127.0.0.1:1/jwks"])
def test_an_address_without_keys_is_the_same_sentence(url: str) -> None:
    with pytest.raises(Defect, match="no keys of the issuer at https://.*STORE_JWKS"):
        run(Gate(settings_for(url)).open())


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_keys_that_cannot_be_read_again_stay_those_that_are_known(
    jwks: Path, auth_clock: Clock, spoil: Callable[[Path], object]
) -> None:
    gate, known = opened(jwks), token()
    assert opens(gate, known)
    spoil(jwks)
    with capture_logs() as logged:
        for auth_clock.later in (KEYS_SECONDS_MAX + 1, KEYS_SECONDS_MAX + 2):
            assert opens(gate, known) and opens(gate, token())
            assert not opens(gate, token("ES256"))
    (line,) = logged
    assert line["log_level"] == "warning" and "cannot be read again" in line["event"]


def test_a_key_that_is_not_understood_does_not_spoil_the_others(jwks: Path) -> None:
    strange = [{"kty": "LATTICE", "kid": "a"}, {"kty": "RSA", "kid": "b"}, {}]
    write(jwks, *strange, OLD, jwk("RS256") | {"alg": "RS512"})
    gate = opened(jwks)
    assert opens(gate, token())
    assert not opens(gate, token("RS256"))


def test_a_single_key_needs_no_id(jwks: Path) -> None:
    del (nameless := OLD.copy())["kid"]
    write(jwks, nameless)
    gate = opened(jwks)
    assert opens(gate, f"Bearer {jwt.encode(claims(), KEYS['EdDSA'], 'EdDSA')}")
    assert not opens(gate, token()), "it names one that is not there"


# -- over https ------------------------------------------------------------------------
@pytest.fixture
def published(
    jwks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where this machine publishes the JWKS, by an authority that it trusts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/jwks" else 500)
            self.end_headers()
            self.wfile.write(jwks.read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            pass

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_may_be_read_from_an_address(published: str) -> None:
    gate = Gate(settings_for(f"{published}/jwks"))
    run(gate.open())
    assert opens(gate, token())


def test_an_answer_that_is_an_error_has_no_keys(published: str) -> None:
    with pytest.raises(Defect, match="500 Internal Server Error"):
        run(Gate(settings_for(f"{published}/other")).open())


def test_an_address_that_nobody_vouches_for_has_no_keys(
    published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(Defect, match="(?i)certificate"):
        run(Gate(settings_for(f"{published}/jwks")).open())
