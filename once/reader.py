"""Reads records one by one, whichever compatible version of a schema wrote them."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from once import resources
from once.errors import OnceError
from once.registry import FRAME_BYTES, Registry, load_schema, schema_id_of


class AvroReader:
    """Reads framed records of any compatible version as those of one schema."""

    def __init__(self, registry: Registry, schema_file: str) -> None:
        self._registry = registry
        schema = load_schema(resources.find(schema_file))
        self._schema = fastavro.parse_schema(schema)
        self._writers: dict[int, Any] = {}

    def read(self, value: bytes | None) -> dict[str, Any]:
        """One record. Raises Retriable (registry away), ValueError (unreadable)."""
        if value is None:
            raise ValueError("a record without a value")
        schema_id = schema_id_of(value)
        if schema_id is None:
            raise ValueError(f"not framed: begins with {value[:FRAME_BYTES].hex()!r}")
        try:
            if schema_id not in self._writers:
                fetched = self._registry.usable_schema(schema_id)
                self._writers[schema_id] = fastavro.parse_schema(fetched)
            body = io.BytesIO(value[FRAME_BYTES:])
            record: Any = fastavro.schemaless_reader(
                body, self._writers[schema_id], self._schema
            )
            return dict(record)
        except OnceError:
            raise  # away: that says nothing about the record
        except Exception as error:  # fastavro raises whatever the bytes provoke
            raise ValueError(f"unreadable as schema {schema_id}: {error!r}") from error
