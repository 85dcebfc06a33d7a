"""An issuer of tokens: keys of each kind, their JWKS, and what it signs with them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from producers.store.api.auth import READ, WRITE, Gate
from producers.store.settings import ServeSettings
from tests.unit.serving import DEMO

AUDIENCE, ISSUER = "once-store", "https://issuer.example"
LEEWAY = 30.0
Fields = dict[str, Any]
T = TypeVar("T")


def new_key(algorithm: str) -> Any:
    """A private key for this algorithm."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65_537, 2_048)


KEYS = {algorithm: new_key(algorithm) for algorithm in ("EdDSA", "ES256", "RS256")}


class Clock:
    """What `auth` takes for the module `time`: `later` than it is."""

    def __init__(self) -> None:
        self.later = 0.0

    def time(self) -> float:
        return time.time() + self.later

    def monotonic(self) -> float:
        return time.monotonic() + self.later


def jwk(algorithm: str, key: Any = None, key_id: str = "") -> Fields:
    """A public key as in a JWKS; by default the issuer's, whose id is its algorithm."""
    form = jwt.get_algorithm_by_name(algorithm)
    public = (KEYS[algorithm] if key is None else key).public_key()
    return {**json.loads(form.to_jwk(public)), "kid": key_id or algorithm}


def shared_secret(secret: bytes, key_id: str) -> Fields:
    """A key for HMAC, as in a JWKS."""
    return {"kty": "oct", "kid": key_id, "alg": "HS256", "k": base64url(secret)}


def write(path: Path, *keys: Fields) -> None:
    """Publish these keys."""
    path.write_text(json.dumps({"keys": keys}))


def claims(**changes: object) -> Fields:
    """What a good token says, with these changes; None leaves one out."""
    good = {
        "sub": "ada",
        "aud": AUDIENCE,
        "iss": ISSUER,
        "exp": time.time() + 600,
        "scope": f"{WRITE} {READ}",
    }
    return {name: v for name, v in (good | changes).items() if v is not None}


def token(
    algorithm: str = "EdDSA", key: Any = None, key_id: str = "", **changes: object
) -> str:
    """The Authorization header with a token; by default it is good."""
    key = KEYS[algorithm] if key is None else key
    header = {"kid": key_id or algorithm}
    return f"Bearer {jwt.encode(claims(**changes), key, algorithm, header)}"


def by_hand(header: Fields, secret: bytes = b"", **changes: object) -> str:
    """One as PyJWT would not make it, signed with HMAC if there is a secret."""
    parts = (header, claims(**changes))
    message = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = hmac.sign(message.encode(), secret) if secret else b""
    return f"Bearer {message}.{base64url(signature)}"


def base64url(octets: bytes) -> str:
    """As in tokens, without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def settings_for(jwks: str, **changes: object) -> ServeSettings:
    """The settings of a Store that trusts these keys."""
    tokens = {
        "jwks": jwks,
        "token_issuer": ISSUER,
        "token_audience": AUDIENCE,
        "token_leeway_seconds": LEEWAY,
    }
    return ServeSettings.model_validate({**DEMO, **tokens, **changes})


def opened(jwks: Path, **changes: object) -> Gate:
    """A gate that has read these keys."""
    gate = Gate(settings_for(str(jwks), **changes))
    run(gate.open())
    return gate


def run(work: Awaitable[T]) -> T:
    """What it returns."""

    async def main() -> T:
        return await work

    return asyncio.run(main())
