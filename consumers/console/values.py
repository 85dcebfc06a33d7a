"""Keys, headers and values as plain data that JSON can hold and people can read.

Texts stay exactly as they are in here; making them harmless for a terminal is the
business of show.py.
"""

from __future__ import annotations

import io
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro

from once.errors import OnceError
from once.registry import FRAME_BYTES, Registry, UnknownSchema, schema_id_of

ASK_AGAIN_SECONDS = 5.0
FAILURES_REMEMBERED_MAX = 1_000


def readable(octets: bytes) -> str:
    """Bytes as text if printable, as UUID if they are 16, else in hexadecimal."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if text.isprintable():
        return text
    return str(uuid.UUID(bytes=octets)) if len(octets) == 16 else f"0x{octets.hex()}"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record's value: `content` as plain data or, with a reason, `octets` only."""

    octets: bytes | None
    schema_id: int | None = None
    schema_name: str = ""
    content: Any = None
    reason: str = ""


class ValueDecoder:
    """Decodes framed Avro by the schema that the record names."""

    def __init__(
        self, registry: Registry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A schema that could not be got is asked for again after a while only."""
        self._registry = registry
        self._clock = clock
        self._schemas: dict[int, _Schema] = {}
        self._failures: dict[int, tuple[float, str]] = {}

    def decode(self, value: bytes | None) -> Decoded:
        """Never raises: what cannot be decoded has its reason in the answer."""
        if value is None:
            return Decoded(None, reason="the record has no value")
        schema_id = schema_id_of(value)
        if schema_id is None:
            return Decoded(value, reason="not framed: no zero byte and schema id")
        schema, reason = self._schema(schema_id)
        if schema is None:
            return Decoded(value, schema_id, reason=reason)
        try:
            content = schema.read(value[FRAME_BYTES:])
        except Exception as error:  # fastavro raises whatever the bytes provoke
            reason = f"not of its schema: {type(error).__name__}: {error}"
            return Decoded(value, schema_id, schema.name, reason=reason)
        return Decoded(value, schema_id, schema.name, content)

    def _schema(self, schema_id: int) -> tuple[_Schema | None, str]:
        if schema_id in self._schemas:
            return self._schemas[schema_id], ""
        until, reason = self._failures.get(schema_id, (0.0, ""))
        if self._clock() < until:
            return None, reason
        try:
            schema = self._schemas[schema_id] = _Schema(
                self._registry.usable_schema(schema_id, logical=True)
            )
            return schema, ""
        except (UnknownSchema, OnceError) as error:
            reason = str(error)
        except Exception as error:  # a schema of another kind, or one not to be borne
            reason = f"schema {schema_id} is no Avro schema to read with: {error}"
        if len(self._failures) >= FAILURES_REMEMBERED_MAX:
            self._failures.clear()
        self._failures[schema_id] = (self._clock() + ASK_AGAIN_SECONDS, reason)
        return None, reason


class _Schema:
    """A writer's schema: reads bodies, and knows how each type is shown."""

    def __init__(self, schema: Any) -> None:
        self._named: dict[str, Any] = {}
        self._parsed = fastavro.parse_schema(schema, named_schemas=self._named)
        kind = self._parsed
        self.name = kind.get("name", "") if isinstance(kind, dict) else str(kind)

    def read(self, body: bytes) -> Any:
        """One body as plain data. Raises anything when it is not exactly one."""
        stream = io.BytesIO(body)
        value = fastavro.schemaless_reader(
            stream, self._parsed, None, return_named_type=True
        )
        rest = len(body) - stream.tell()
        if rest:
            raise ValueError(f"{rest} bytes too many")
        return self._plain(self._parsed, value)

    def _plain(self, schema: Any, value: Any) -> Any:
        if isinstance(schema, str) and schema in self._named:
            schema = self._named[schema]
        if isinstance(schema, list):
            return self._plain_union(schema, value)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self._plain(kind, value)
        if kind in ("record", "error"):
            fields = schema["fields"]
            return {f["name"]: self._plain(f["type"], value[f["name"]]) for f in fields}
        if kind == "array":
            return [self._plain(schema["items"], item) for item in value]
        if kind == "map":
            return {k: self._plain(schema["values"], v) for k, v in value.items()}
        if kind == "fixed" and isinstance(value, bytes):
            return _plain_fixed(schema["name"], value)
        return _plain_scalar(value)

    def _plain_union(self, branches: list[Any], value: Any) -> Any:
        if isinstance(value, tuple):  # a named type says which one it is
            name, inner = value
            return self._plain(name, inner)
        if isinstance(value, list | dict):
            kind = "array" if isinstance(value, list) else "map"
            for branch in branches:
                if isinstance(branch, dict) and branch["type"] == kind:
                    return self._plain(branch, value)
        return _plain_scalar(value)


def _plain_fixed(name: str, value: bytes) -> str:
    """The contract's own types as people write them, all others in hexadecimal."""
    word = name.rpartition(".")[2]
    if word == "Uuid" and len(value) == 16:
        return str(uuid.UUID(bytes=value))
    if word == "Currency" and value.isascii() and value.decode().isprintable():
        return value.decode()
    return f"0x{value.hex()}"


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # logical types of foreign schemas: dates, decimals, ...
