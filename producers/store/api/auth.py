"""Who asks: bearer tokens (RFC 6750) that are JWTs signed by a known issuer.

The client is the token's subject. Keys come from a JWKS file or URL and are read again
when they are old, or when a token names a key that is not there.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt

from once import logs
from once.errors import Defect
from producers.store.problems import Kind, Problem
from producers.store.settings import ServeSettings

log = logs.get(__name__)

WRITE, READ = "transfers:write", "transfers:read"
ALGORITHMS = ("EdDSA", "ES256", "RS256")  # none that a public key could forge
KEYS_SECONDS_MAX = 300.0
KEYS_SECONDS_MIN = 5.0  # a flood of strange tokens is no flood of requests
REQUEST_SECONDS = 5.0
TOKENS_REMEMBERED_MAX = 10_000
TOKEN_BYTES_MAX = 8_192


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request, and what they may do."""

    name: str
    scopes: frozenset[str]
    expires_at: float

    def require(self, scope: str) -> None:
        """Raises Problem when the token lacks this scope."""
        if scope not in self.scopes:
            raise Problem(Kind.FORBIDDEN, f"This needs a token with scope {scope}.")


ANYONE = Client("", frozenset((WRITE, READ)), float("inf"))  # where no tokens are asked


class Keys:
    """The issuer's public keys, by key id."""

    def __init__(self, source: str) -> None:
        """`source` is a path or an https URL; nothing is read yet."""
        self._source = source
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self.version = 0  # counts how often they were read

    @property
    def age_s(self) -> float:
        """Since when they may have changed."""
        return time.monotonic() - self._read_at

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id, or None when the issuer has none such."""
        if key_id not in self._keys:
            await self.refresh(KEYS_SECONDS_MIN)
        return self._keys.get(key_id)

    async def refresh(self, seconds: float) -> None:
        """Read the keys again, once for all who ask, when they are older than that."""
        if self.age_s > seconds:
            async with self._reading:
                if self.age_s > seconds:
                    await self.load()

    async def load(self) -> None:
        """Read the keys. Raises Defect when there never were any."""
        try:
            self._keys = _usable(await self._text())
        except _UNREADABLE as error:
            if not self._keys:
                raise Defect(
                    f"no keys of the issuer at {self._source}: {error}; set STORE_JWKS"
                ) from error
            log.warning("the issuer's keys cannot be read again", error=str(error))
        else:
            self.version += 1
        self._read_at = time.monotonic()

    async def _text(self) -> str:
        if not self._source.startswith("https://"):
            return Path(self._source).read_text()
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS) as http:
            return (await http.get(self._source)).raise_for_status().text


_UNREADABLE = (
    *(OSError, httpx.HTTPError, httpx.InvalidURL),
    *(ValueError, TypeError, AttributeError, jwt.PyJWTError),  # not a JWKS
)


def _usable(text: str) -> dict[str | None, jwt.PyJWK]:
    """The keys of a JWKS that may sign, by their ids."""
    keys = jwt.PyJWKSet.from_json(text).keys
    good = {key.key_id: key for key in keys if key.algorithm_name in ALGORITHMS}
    if not good:
        raise ValueError(f"none is for {', '.join(ALGORITHMS)}")
    return good


class Gate:
    """Tells clients by their tokens; remembers those that were good a moment ago."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._keys = Keys(settings.jwks)
        self._known: OrderedDict[str, Client] = OrderedDict()
        self._known_by = 0  # the version of the keys

    async def open(self) -> None:
        """Read the keys. Raises Defect."""
        await self._keys.load()

    async def client(self, authorization: str) -> Client:
        """Who sends this header. Raises Problem."""
        if self._keys.age_s > KEYS_SECONDS_MAX:
            await self._keys.refresh(KEYS_SECONDS_MAX)
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
        if scheme.lower() != "bearer" or not token or len(token) > TOKEN_BYTES_MAX:
            raise _refused("the Authorization header has none")
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
        return Client(claims["sub"], scopes, float(claims["exp"]))


async def anyone(authorization: str) -> Client:
    """The gate that stands open: everybody is one client."""
    return ANYONE


Doorman = Callable[[str], Awaitable[Client]]


def _refused(why: str) -> Problem:
    return Problem(
        Kind.UNAUTHENTICATED, f"A bearer token is needed: {why.rstrip('.')}."
    )
