"""Other schemas than ours in the registry: newer ones of ours, and foreign ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import httpx

from local.platform import Platform
from once import resources
from once.registry import Registry, frame, load_schema
from tests.integration.raw import fields


class Schemas:
    """Other schemas than ours, in the same registry."""

    def __init__(self, platform: Platform) -> None:
        self._url = platform.stack.endpoints.registry_url
        self._own = f"{platform.topic}-value"
        self._other = f"other-{platform.name}"

    def newer(self, field: dict[str, Any]) -> Callable[..., bytes]:
        """The next version of our schema: an encoder of its framed records."""
        schema = load_schema(resources.find("avro/transfer.avsc"))
        schema["fields"].append(field)
        registry = Registry(self._url)
        schema_id = registry.register(self._own, schema)
        registry.close()
        return lambda **record: _encode(schema_id, schema, fields(**record))

    def other(self, name: str, schema: object, value: object) -> bytes:
        """A good record of a schema that has nothing to do with ours."""
        return _encode(self._register(name, json.dumps(schema), "AVRO"), schema, value)

    def protobuf(self, body: bytes) -> bytes:
        """A record of a schema that is not even Avro."""
        text = 'syntax = "proto3"; message Other { string words = 1; }'
        return frame(self._register("protobuf", text, "PROTOBUF")) + body

    def _register(self, name: str, schema: str, kind: str) -> int:
        answer = httpx.post(
            f"{self._url}/subjects/{self._other}-{name}/versions",
            json={"schema": schema, "schemaType": kind},
        )
        return int(answer.raise_for_status().json()["id"])


def _encode(schema_id: int, schema: Any, value: object) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return frame(schema_id) + body.getvalue()


def record_type(name: str, *columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "namespace": "once.payments",
        "fields": list(columns),
    }
