"""The schema registry, by its Confluent-compatible API, and the wire format it implies.

Wire format: one zero byte, the schema id as 4 bytes big-endian, the Avro body.
Reading a schema by id never changes its answer, so ids are remembered for ever. What a
schema says is judged (schemas.py) before a byte is read with it.
Registration is an explicit step (`make register`), never done by a producer in passing.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from once import loopback
from once.errors import Defect, Refused, Retriable
from once.schemas import UnusableSchema, bounded, parse_json

FRAME_BYTES = 5
REFERENCES_MAX = 32  # of one schema, those of its references included
COMPATIBILITY = "FULL_TRANSITIVE"


def frame(schema_id: int) -> bytes:
    """The five bytes in front of every record of that schema."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def schema_id_of(value: bytes) -> int | None:
    """The schema id in a framed value, or None when it is not framed."""
    if len(value) < FRAME_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:FRAME_BYTES], "big")


def load_schema(path: Path) -> dict[str, Any]:
    """A schema file as parsed JSON."""
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


def _trust(ca: Path | None) -> ssl.SSLContext | bool:
    try:
        return True if ca is None else ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise Defect(f"the registry's authority {ca} cannot be read: {error}") from None


def _without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address as it may be shown, and who we are there. Raises Defect."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        # Not shown: what cannot be read may well be half a password.
        raise Defect(
            "the registry's address is no URL; look at ..._REGISTRY_URL, and write "
            "special characters of a password as %XX"
        )
    if not parsed.userinfo:
        return url, None
    shown = str(parsed.copy_with(username=None, password=None))
    return shown, (parsed.username, parsed.password)


class UnknownSchema(LookupError):
    """The registry answered: no schema has this id."""


# Not known, or not fit to be an id: with an error code of the registry's own.
_UNKNOWN = (404, 422)


@dataclass(frozen=True, slots=True)
class _Registered:
    """A schema as the registry has it: its kind, its text and what it refers to."""

    kind: str
    text: str
    references: tuple[tuple[str, str, int], ...]  # name, subject, version

    @classmethod
    def of(cls, body: Any) -> _Registered:
        """From an answer. Raises ValueError, KeyError, TypeError, AttributeError."""
        references = tuple(
            (str(each["name"]), str(each["subject"]), int(each["version"]))
            for each in body.get("references") or ()
        )
        text = body["schema"]
        if not isinstance(text, str):
            raise TypeError("a schema is a text")
        return cls(str(body.get("schemaType") or "AVRO"), text, references)

    def avro(self) -> Any:
        """The parsed JSON. Raises UnusableSchema when it is of another kind."""
        if self.kind.upper() != "AVRO":
            raise UnusableSchema(f"it is a schema of kind {self.kind}, not Avro")
        return parse_json(self.text)


class Registry:
    """A client of one registry. Raises Retriable whenever it cannot be reached."""

    def __init__(
        self, url: str, ca: Path | None = None, timeout_seconds: float = 5.0
    ) -> None:
        """`url` ends where /subjects and /schemas begin.

        A name and a password in it are sent, and never shown. `ca` vouches for a
        registry with TLS; None: the usual ones. Raises Defect.
        """
        self.url, login = _without_login(url)
        try:
            self._http = httpx.Client(
                base_url=self.url,
                auth=login,
                timeout=timeout_seconds,
                verify=_trust(ca),
                trust_env=not loopback.is_loopback(url),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise Defect(
                f"the proxy in the environment cannot be used ({error}): name another,"
                " or the registry's host in NO_PROXY"
            ) from None
        self._by_id: dict[int, _Registered] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def schema(self, schema_id: int) -> Any:
        """The schema with this id as it was registered, as parsed JSON.

        Raises UnknownSchema, UnusableSchema (it is no Avro schema), Retriable.
        """
        return self._registered(schema_id).avro()

    def usable_schema(self, schema_id: int, logical: bool = False) -> Any:
        """The schema with this id, `bounded` and with what it refers to.

        Raises UnknownSchema, UnusableSchema, Retriable.
        """
        found = self._registered(schema_id)
        named: dict[str, Any] = {}
        self._collect(found, named)
        return bounded(found.avro(), named, logical)

    def _collect(self, found: _Registered, named: dict[str, Any]) -> None:
        """Everything that a schema refers to, by name."""
        for name, subject, version in found.references:
            if name in named:
                continue
            if len(named) == REFERENCES_MAX:
                raise UnusableSchema(f"it has more than {REFERENCES_MAX} references")
            here = f"it refers to {name} (version {version} of subject {subject})"
            try:
                path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
                referred = self._fetch(path, here)
                named[name] = referred.avro()
            except UnknownSchema:
                raise UnusableSchema(
                    f"{here}, which the registry does not have"
                ) from None
            self._collect(referred, named)

    def _registered(self, schema_id: int) -> _Registered:
        if schema_id not in self._by_id:
            path = f"/schemas/ids/{schema_id}"
            self._by_id[schema_id] = self._fetch(path, f"schema id {schema_id}")
        return self._by_id[schema_id]

    def _fetch(self, path: str, what: str) -> _Registered:
        """Only the registry's own word counts: a proxy's 404 condemns no record."""
        answer = self._call("GET", path)
        try:
            body = answer.json()
            if answer.status_code in _UNKNOWN and str(body["error_code"]).startswith(
                str(answer.status_code)
            ):
                raise UnknownSchema(f"{what} is not in {self.url}")
            return _Registered.of(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Retriable(
                f"schema registry {answer.request.url}: HTTP {answer.status_code}, and "
                "no answer of a registry"
            ) from error

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """The id under which `schema` was registered. Raises Defect if it was not."""
        answer = self._call("POST", f"/subjects/{subject}", _body(schema))
        if answer.status_code == 404:
            raise Defect(
                f"the schema of subject {subject} is not registered at {self.url}; "
                "register it first: python -m once register (here: make set-up, or "
                "make register)"
            )
        return int(self._json(answer)["id"])

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register `schema`; the id it has from now on.

        Raises Refused when it is not fully compatible with every earlier version.
        """
        self._json(
            self._call("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})
        )
        answer = self._call("POST", f"/subjects/{subject}/versions", _body(schema))
        if answer.status_code == 409:
            raise Refused(
                f"the schema of subject {subject} breaks {COMPATIBILITY}: "
                f"{answer.text}; see avro/README.md for what may change"
            )
        return int(self._json(answer)["id"])

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Retriable(f"schema registry {self.url}: {error!r}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Retriable(
                f"schema registry {self.url}{path}: HTTP {answer.status_code}"
            )
        return answer

    def _json(self, answer: httpx.Response) -> Any:
        if answer.status_code >= 400:
            raise Defect(
                f"schema registry {answer.request.url}: HTTP {answer.status_code}: "
                f"{answer.text[:200]}"
            )
        return answer.json()


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"schemaType": "AVRO", "schema": json.dumps(schema)}
