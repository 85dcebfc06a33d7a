"""Known findings that somebody answers for: accepted, shown as accepted, until a day.

A file of them has one a line, as JSON, signed with a key that the audit does not have.
What is accepted is one sentence of one invariant, to the letter: the exact record.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from once.errors import Defect

Finding = tuple[str, str]  # invariant, sentence


class Waiver(BaseModel):
    """One finding that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invariant: str = Field(pattern="^I[0-9]+$")
    finding: str = Field(min_length=1)
    who: str = Field(min_length=1)  # answers for it
    why: str = Field(min_length=1)
    until: date  # the last day on which it counts, in UTC
    signature: str = ""

    @property
    def signed_part(self) -> bytes:
        """What the signature is over."""
        content = self.model_dump(mode="json", exclude={"signature"})
        return json.dumps(content, sort_keys=True).encode()

    def sign(self, key: Ed25519PrivateKey) -> Self:
        """The same, signed."""
        signature = base64.b64encode(key.sign(self.signed_part)).decode()
        return self.model_copy(update={"signature": signature})

    def __str__(self) -> str:
        return (
            f"accepted by {self.who} until {self.until} ({self.why}): "
            f"{self.invariant}: {self.finding}"
        )


class Waivers:
    """Those that count today, and what is to be said of the others."""

    def __init__(self, waivers: Mapping[Finding, Waiver], notes: list[str]) -> None:
        self._waivers = waivers
        self.notes = notes

    def accepts(self, invariant: str, finding: str) -> Waiver | None:
        """The one that is about this finding."""
        return self._waivers.get((invariant, finding))


NONE = Waivers({}, [])


def read(
    path: Path | None, key_path: Path | None, today: date | None = None
) -> Waivers:
    """The waivers of a file, if there is one.

    Raises Defect for one that is not signed with the key.
    """
    if path is None:
        return NONE
    if key_path is None:
        raise Defect(
            f"{path} has waivers, and AUDIT_WAIVER_KEY does not say whose signatures "
            "count: set it to a file with an Ed25519 public key in PEM"
        )
    key = load_public_key(key_path)
    today = today or datetime.now(UTC).date()
    found: dict[Finding, Waiver] = {}
    notes = []
    for number, line in enumerate(_lines(path), 1):
        where = f"line {number} of {path}"
        waiver = _verified(line, key, where)
        if waiver.until < today:
            notes.append(
                f"{where} counts no more since {waiver.until}: {waiver.finding}"
            )
        else:
            found[waiver.invariant, waiver.finding] = waiver
    return Waivers(found, notes)


def load_public_key(path: Path) -> Ed25519PublicKey:
    """The key of a file. Raises Defect."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Defect(f"{path} is no public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Defect(f"{path} is a public key of another kind than Ed25519")
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The key of a file. Raises Defect."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Defect(f"{path} is no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Defect(f"{path} is a private key of another kind than Ed25519")
    return key


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Defect(f"the waivers at {path} cannot be read: {error}") from error


def _verified(line: str, key: Ed25519PublicKey, where: str) -> Waiver:
    try:
        waiver = Waiver.model_validate_json(line)
        key.verify(
            base64.b64decode(waiver.signature, validate=True), waiver.signed_part
        )
    except ValidationError as error:
        raise Defect(f"{where} is no waiver: {error.errors()[0]['msg']}") from error
    except (InvalidSignature, ValueError) as error:
        raise Defect(
            f"{where} is not signed with the key of AUDIT_WAIVER_KEY; sign it with "
            "python -m consumers.bank.audit.waive"
        ) from error
    return waiver
