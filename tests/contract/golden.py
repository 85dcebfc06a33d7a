"""The golden files of avro/golden: what is in them, and how they are written anew.

The .json beside each .bin says what it holds, and is what people edit. Rewriting is a
deliberate act, never part of a test run:

    python -m tests.contract.golden
"""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

from once.registry import frame, load_schema

AVRO = Path(__file__).parents[2] / "avro"
FOLDER = AVRO / "golden"
SCHEMA_ID = 1


@dataclass(frozen=True)
class Golden:
    """One record of the topic: key, framed bytes, and the value they stand for."""

    name: str
    schema_name: str
    key: bytes | None
    value: dict[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        return load_schema(AVRO / f"{self.schema_name}.avsc")

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.bin"

    @property
    def framed(self) -> bytes:
        """The bytes of the file."""
        return self.path.read_bytes()


def golden(name: str) -> Golden:
    """The golden record of that name."""
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    key = content["key"]
    if key is not None:
        by_account = content["schema"] in ("transfer", "account-change")
        key = key.encode() if by_account else uuid.UUID(key).bytes
    return Golden(name, content["schema"], key, _as_avro(content["value"]))


def all_golden(schema_name: str) -> list[Golden]:
    """Every golden record of one schema."""
    found = [golden(path.stem) for path in sorted(FOLDER.glob("*.json"))]
    return [one for one in found if one.schema_name == schema_name]


def _as_avro(value: dict[str, Any]) -> dict[str, Any]:
    """JSON's UUIDs, digests and currency codes as the bytes that Avro has for them."""
    ids = ("transfer_id", "change_id", "emitter")
    avro: dict[str, Any] = {}
    for name, content in value.items():
        if name in ids and content is not None:
            content = uuid.UUID(content).bytes
        elif name == "currency" and content is not None:
            content = content.encode()
        elif name in ("results", "clients"):
            content = [_as_avro(item) for item in content]
        elif name in ("transfer_ids", "digests"):  # packed
            content = b"".join(uuid.UUID(each).bytes for each in content)
        avro[name] = content
    return avro


def rewrite() -> None:
    """Write every .bin from its .json, by an encoder that is not ours."""
    for path in sorted(FOLDER.glob("*.json")):
        one = golden(path.stem)
        out = io.BytesIO()
        out.write(frame(SCHEMA_ID))
        fastavro.schemaless_writer(out, fastavro.parse_schema(one.schema), one.value)
        one.path.write_bytes(out.getvalue())


if __name__ == "__main__":
    rewrite()
