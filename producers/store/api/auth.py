"""Who asks: bearer tokens (RFC 6750) that are JWTs signed by a known issuer.

The client is the token's subject. Keys come from a JWKS file or URL and are read again
behind everybody's back when they are old, or when a token names one that is not there.
Those that cannot be read again are taken for a time (a setting).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jwt

from once import logs, loopback
from once.errors import Defect
from producers.store.api.clients import (
    ANY_ACCOUNT,
    ANYONE,
    READ,
    WRITE,
    Accounts,
    Client,
    accounts_of,
)
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings

__all__ = ["READ", "WRITE", "Client", "Doorman", "Gate", "Keys", "anyone"]

log = logs.get(__name__)

TOKENS_REMEMBERED_MAX = 10_000
TOKEN_BYTES_MAX = 8_192
ALGORITHMS = ("EdDSA", "ES256", "RS256")  # none that a public key could forge
KEYS_SECONDS_MAX = 300.0
KEYS_SECONDS_MIN = 5.0  # a flood of strange tokens is no flood of requests
REQUEST_SECONDS = 5.0  # the whole of it: an issuer that drips is away
ANSWER_BYTES_MAX = 1 << 20
OLD_KEYS_SECONDS = 0.2
NEW_KEY_SECONDS = 1.0  # a client waits no longer for the key of its token
WAITING_MAX = 100  # clients at once

_UNREADABLE = (
    *(OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL),
    *(ValueError, TypeError, AttributeError, jwt.PyJWTError),  # not a JWKS
)


class Keys:
    """The issuer's public keys, by key id. Lives in the event loop."""

    def __init__(self, settings: ServeSettings) -> None:
        """Nothing is read yet."""
        self._source = settings.jwks
        self._authority = settings.jwks_ca
        self._seconds_max = settings.jwks_seconds_max
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._slow: asyncio.Task[None] | None = None  # a reading not waited for
        self._waiting = 0
        self.version = 0  # counts how often they were read

    @property
    def age_seconds(self) -> float:
        """Since when they may have changed."""
        return time.monotonic() - self._read_at

    async def open(self) -> None:
        """Read the keys for the first time. Raises Defect."""
        try:
            await self._read()
        except _UNREADABLE as error:
            raise Defect(
                f"no keys of the issuer at {self._source}: {error!r:.200}; set "
                "STORE_JWKS (and STORE_JWKS_CA for an authority of your own)"
            ) from error

    def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()

    async def check(self) -> None:
        """Have them read again when they are old. Raises Problem when too old.

        From half their time on behind everybody's back. After it those that ask first
        wait a moment, and nobody waits for an issuer that has not answered then.
        """
        if self.age_seconds > KEYS_SECONDS_MAX / 2:
            reading = self._read_soon()
            if reading is not None and reading is not self._slow:
                if self.age_seconds > KEYS_SECONDS_MAX:
                    await asyncio.wait([reading], timeout=OLD_KEYS_SECONDS)
                    self._slow = reading
        if self.age_seconds > self._seconds_max:
            detail = "The issuer's keys could not be read for too long."
            raise Problem(Kind.ISSUER_AWAY, detail, int(KEYS_SECONDS_MIN))

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id, or None when the issuer has none such.

        Raises Problem when that is not known yet.
        """
        if key_id not in self._keys:
            reading = self._read_soon()
            if reading is not None:
                await self._wait_for(reading)
        return self._keys.get(key_id)

    def _read_soon(self) -> asyncio.Task[None] | None:
        """Who is reading now; None: they were asked for a moment ago."""
        if self._reading is None or self._reading.done():
            if time.monotonic() - self._tried_at < KEYS_SECONDS_MIN:
                return None
            self._reading = asyncio.create_task(self._read_again(), name="keys")
        return self._reading

    async def _wait_for(self, reading: asyncio.Task[None]) -> None:
        if self._waiting < WAITING_MAX:
            self._waiting += 1
            try:
                await asyncio.wait([reading], timeout=NEW_KEY_SECONDS)
            finally:
                self._waiting -= 1
        if not reading.done():
            detail = "The key of your token is new here, and is being asked for."
            raise Problem(Kind.ISSUER_AWAY, detail, 1)

    async def _read_again(self) -> None:
        try:
            await self._read()
        except asyncio.CancelledError:
            self._tried_at = float("-inf")  # nobody has heard the issuer
            raise
        except _UNREADABLE as error:
            log.warning("the issuer's keys cannot be read again", error=str(error))

    async def _read(self) -> None:
        self._tried_at = time.monotonic()
        async with asyncio.timeout(REQUEST_SECONDS):
            self._keys = _usable(await read_jwks(self._source, self._authority))
        self.version += 1
        self._read_at = time.monotonic()


async def read_jwks(source: str, authority: Path | None) -> str:
    """The text of a JWKS: of a file, or at a URL whose certificate is good."""
    if not source.startswith("https://"):
        return await asyncio.to_thread(Path(source).read_text)
    trusted = ssl.create_default_context(cafile=authority)
    async with (
        httpx.AsyncClient(
            timeout=REQUEST_SECONDS,
            verify=trusted,
            trust_env=not loopback.is_loopback(source),
        ) as http,
        http.stream("GET", source) as answer,
    ):
        answer.raise_for_status()
        text = bytearray()
        async for piece in answer.aiter_bytes():
            text += piece
            if len(text) > ANSWER_BYTES_MAX:
                raise ValueError(f"more than {ANSWER_BYTES_MAX} bytes")
    return text.decode()


def _usable(text: str) -> dict[str | None, jwt.PyJWK]:
    """The keys of a JWKS that may sign, by their ids."""
    keys = jwt.PyJWKSet.from_json(text).keys
    good = {
        key.key_id: key
        for key in keys
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
    }
    if not good:
        raise ValueError(f"none is for {', '.join(ALGORITHMS)}")
    return good


class Gate:
    """Tells clients by their tokens; remembers those that were good a moment ago."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._keys = Keys(settings)
        self._known: OrderedDict[str, Client] = OrderedDict()
        self._known_by = 0  # the version of the keys

    async def open(self) -> None:
        """Read the keys. Raises Defect."""
        await self._keys.open()

    def close(self) -> None:
        """Read no keys any more."""
        self._keys.close()

    def keys_age_seconds(self) -> float:
        """How old the issuer's keys are."""
        return self._keys.age_seconds

    async def client(self, authorization: str) -> Client:
        """Who sends this header. Raises Problem."""
        await self._keys.check()
        if self._keys.version != self._known_by:
            self._known.clear()  # a key may have been taken back
            self._known_by = self._keys.version
        client = self._known.get(authorization)
        if client is None:
            client = await self._verify(authorization)
            self._known[authorization] = client
            if len(self._known) > TOKENS_REMEMBERED_MAX:
                self._known.popitem(last=False)
        elif client.expires_at + self._settings.token_leeway_seconds < time.time():
            del self._known[authorization]
            raise _refused("it has expired")
        return client

    async def _verify(self, authorization: str) -> Client:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            detail = "A bearer token is needed: the Authorization header has none."
            raise Problem(Kind.UNAUTHENTICATED, detail)
        if len(token) > TOKEN_BYTES_MAX:
            raise _refused(f"it has more than {TOKEN_BYTES_MAX} bytes")
        settings = self._settings
        try:
            key = await self._keys.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise _refused("its key is not the issuer's")
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=settings.token_audience,
                issuer=settings.token_issuer or None,
                leeway=settings.token_leeway_seconds,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _refused(str(error)) from None
        # It goes into files and records: nothing that one of them cannot hold.
        if not (claims["sub"].isprintable() and 0 < len(claims["sub"]) <= 255):
            raise _refused("its subject is empty, too long or not printable")
        scopes = frozenset(str(claims.get("scope", "")).split())
        try:
            accounts = self._accounts(claims, scopes)
        except ValueError as error:
            raise _refused(str(error)) from None
        return Client(claims["sub"], scopes, float(claims["exp"]), accounts)

    def _accounts(
        self, claims: dict[str, Any], scopes: frozenset[str]
    ) -> Accounts | None:
        if "accounts" in claims:
            return accounts_of(claims["accounts"])
        if ANY_ACCOUNT in scopes or self._settings.token_accounts == "optional":
            return None
        return ()


async def anyone(authorization: str) -> Client:
    """The gate that stands open: everybody is one client."""
    return ANYONE


Doorman = Callable[[str], Awaitable[Client]]


def _refused(why: str) -> Problem:
    reason = why.rstrip(".")
    plain = re.sub(r'[^ -~]|["\\]', "?", reason)  # RFC 6750, 3
    return Problem(
        Kind.UNAUTHENTICATED,
        f"A bearer token is needed, and this one is not good: {reason}.",
        challenge=f'Bearer error="invalid_token", error_description="{plain}"',
    )
