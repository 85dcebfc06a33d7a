"""An issuer that is slow, away or strange: nobody with a known token waits for it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from once.errors import Defect
from producers.store.api import auth
from producers.store.api.auth import KEYS_SECONDS_MAX, KEYS_SECONDS_MIN, Gate
from producers.store.problems import Kind, Problem
from tests.unit.issuing import (
    Clock,
    jwk,
    opened,
    run,
    settings_for,
    token,
    write,
)
from tests.unit.serving import put, serving

OLD, NEW = jwk("EdDSA"), jwk("ES256")
DAY = 86_400.0


@pytest.fixture
def get_stuck(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From this call on the issuer begins to answer and never ends."""

    async def never(source: str, authority: Path | None) -> str:
        await asyncio.Event().wait()
        raise AssertionError("it ended")

    return lambda: monkeypatch.setattr(auth, "read_jwks", never)


def refused(work: Awaitable[object]) -> Problem:
    with pytest.raises(Problem) as caught:
        run(work)
    return caught.value


async def quick(work: Awaitable[object], most_s: float) -> None:
    began = time.monotonic()
    await work
    assert time.monotonic() - began < most_s


# -- known tokens ----------------------------------------------------------------------
def test_with_a_known_token_nobody_waits_for_an_issuer_that_is_stuck(
    jwks: Path, auth_clock: Clock, get_stuck: Callable[[], None]
) -> None:
    gate, known, new = opened(jwks), token(), token(jti="2")
    assert run(gate.client(known)).name == "ada"
    get_stuck()

    async def many() -> None:
        # Behind everybody's back: they are only half as old as they may be.
        auth_clock.later = KEYS_SECONDS_MAX / 2 + 1
        await quick(gate.client(known), 0.1)
        # Too old: the first ones wait a moment, and nobody after them.
        auth_clock.later = KEYS_SECONDS_MAX + 1
        first = asyncio.gather(*(gate.client(known) for _ in range(50)))
        await quick(first, 1.0)
        for said in (known, new):
            await quick(asyncio.gather(*(gate.client(said) for _ in range(50))), 0.1)
        gate.close()

    run(many())


def test_keys_are_read_again_before_they_are_old(jwks: Path, auth_clock: Clock) -> None:
    gate = opened(jwks)
    write(jwks, OLD, NEW)

    async def later() -> None:
        auth_clock.later = KEYS_SECONDS_MAX / 2 + 1
        await gate.client(token())
        while gate.keys_age_seconds() >= 60:
            await asyncio.sleep(0.001)

    run(asyncio.wait_for(later(), 20))
    assert run(gate.client(token("ES256"))).name == "ada"


# -- new keys --------------------------------------------------------------------------
def test_who_comes_with_a_new_key_waits_a_moment_and_is_told_when_to_come_again(
    jwks: Path,
    auth_clock: Clock,
    get_stuck: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "NEW_KEY_SECONDS", 0.2)
    gate = opened(jwks)
    get_stuck()
    auth_clock.later = KEYS_SECONDS_MIN + 1

    async def strangers() -> list[object]:
        clients = (gate.client(token("ES256", jti=str(n))) for n in range(150))
        began = time.monotonic()
        found = await asyncio.gather(*clients, return_exceptions=True)
        assert 0.15 < time.monotonic() - began < 5
        gate.close()
        return list(found)

    for problem in run(strangers()):
        assert isinstance(problem, Problem) and problem.kind is Kind.ISSUER_AWAY
        assert problem.retry_after_seconds == 1


def test_only_so_many_wait_for_a_new_key(
    jwks: Path,
    auth_clock: Clock,
    get_stuck: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "WAITING_MAX", 2)
    gate = opened(jwks)
    get_stuck()
    auth_clock.later = KEYS_SECONDS_MIN + 1

    async def strangers() -> None:
        waiting = [
            asyncio.ensure_future(gate.client(token("ES256", jti=str(n))))
            for n in range(2)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Problem) as caught:
            await asyncio.wait_for(gate.client(token("ES256")), 0.5)
        assert caught.value.kind is Kind.ISSUER_AWAY
        assert not any(each.done() for each in waiting)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        gate.close()

    run(strangers())


# -- keys that are too old -------------------------------------------------------------
def test_keys_that_cannot_be_read_again_end_some_day(
    jwks: Path, auth_clock: Clock
) -> None:
    gate, known = opened(jwks), token(exp=time.time() + 2 * DAY)
    assert run(gate.client(known)).name == "ada"
    jwks.unlink()
    auth_clock.later = DAY - 60
    assert run(gate.client(known)).name == "ada"
    auth_clock.later = DAY + 60
    for said in (known, token(exp=time.time() + 2 * DAY, jti="2")):
        problem = refused(gate.client(said))
        assert problem.kind is Kind.ISSUER_AWAY and problem.retry_after_seconds == 5
    write(jwks, OLD)
    auth_clock.later += KEYS_SECONDS_MIN + 1
    assert run(gate.client(known)).name == "ada", "the issuer is back"


def test_that_is_a_setting(jwks: Path, auth_clock: Clock) -> None:
    gate = opened(jwks, jwks_seconds_max=1_000)
    jwks.unlink()
    auth_clock.later = 990
    assert run(gate.client(token(exp=time.time() + DAY))).name == "ada"
    auth_clock.later = 1_010
    assert refused(gate.client(token(exp=time.time() + DAY))).kind is Kind.ISSUER_AWAY


def test_over_http_it_is_503_and_says_when_to_come_again(
    jwks: Path, tmp_path: Path, auth_clock: Clock
) -> None:
    gate = opened(jwks, jwks_seconds_max=1_000)
    jwks.unlink()
    auth_clock.later = 1_010
    with serving(tmp_path, gate.client) as served, served.connect() as connection:
        connection.send(put(f"Authorization: {token(exp=time.time() + DAY)}"))
        answer = connection.answer()
    assert answer is not None and answer.status == 503
    assert answer.problem()["code"] == "issuer-unavailable"
    assert answer.headers["retry-after"] == "5"


# -- answers over https ----------------------------------------------------------------
Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def issuer(
    answering: Answering, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Where an issuer answers like this, by an authority of its own (ca.pem)."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("NO_PROXY", "*")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    tasks: list[asyncio.Task[None]] = []

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await answering(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("answering", "why"),
    [(dripping, "Timeout"), (silent, "Timeout"), (without_end, "more than 1048576")],
)
def test_an_issuer_that_never_ends_has_no_keys(
    answering: Answering,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A time for each read would never be over while it drips."""
    monkeypatch.setattr(auth, "REQUEST_SECONDS", 0.5)

    async def read() -> None:
        async with issuer(answering, tmp_path, monkeypatch) as url:
            gate = Gate(settings_for(url, jwks_ca=tmp_path / "ca.pem"))
            began = time.monotonic()
            with pytest.raises(Defect, match=why):
                await gate.open()
            assert time.monotonic() - began < 5

    run(read())


@pytest.mark.parametrize("trusted", [True, False])
def test_an_issuer_may_have_an_authority_of_its_own(
    trusted: bool, jwks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def good(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + jwks.read_bytes())
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        await asyncio.sleep(0.05)

    async def read() -> None:
        async with issuer(good, tmp_path, monkeypatch) as url:
            authority = tmp_path / "ca.pem" if trusted else None
            gate = Gate(settings_for(url, jwks_ca=authority))
            if trusted:
                await gate.open()
                assert (await gate.client(token())).name == "ada"
                return
            with pytest.raises(Defect, match="STORE_JWKS_CA"):
                await gate.open()

    run(read())


# -- keys that may not sign ------------------------------------------------------------
def test_a_key_for_something_else_signs_nothing(jwks: Path) -> None:
    write(jwks, OLD, NEW | {"use": "enc"})
    gate = opened(jwks)
    assert run(gate.client(token())).name == "ada"
    assert refused(gate.client(token("ES256"))).kind is Kind.UNAUTHENTICATED
