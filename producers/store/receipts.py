"""Receipts: who sent which transfers through the HTTP API.

They travel in the Kafka transaction of their transfers. So every replica of the Store
learns from the log alone what was committed, whose it is and what it said, and a client
sees its own transfers only.

Emitters that write receipts are told by their id: a UUID of version 8 (RFC 9562, 5.8)
whose first six bytes are `MARK`. Results of other emitters need not be decoded.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import fastavro
from fastavro.schema import SchemaParseException

from once import resources
from once.producer import Record
from once.registry import FRAME_BYTES, Registry, frame, load_schema, schema_id_of
from producers.store.transfers import TransferLine

RECEIPTS_PER_RECORD_MAX = 4_000
MARK = b"once\xb0\x01"


class Receipt(NamedTuple):
    """One transfer: whose it is, and the digest of what it says."""

    transfer_id: bytes
    client: str
    digest: bytes


def digest_of(line: TransferLine) -> bytes:
    """Of what the Bank compares when an id comes again (ADR 6), 16 bytes."""
    text = (
        f"{line.debit_account} {line.credit_account} {line.amount} {line.currency} "
        f"{line.memo}"
    )
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def new_emitter() -> bytes:
    """The id of a new incarnation that writes receipts."""
    rest = bytearray(os.urandom(10))
    rest[0] = rest[0] & 0x0F | 0x80
    rest[2] = rest[2] & 0x3F | 0x80
    return MARK + bytes(rest)


def writes_receipts(emitter: bytes | None) -> bool:
    """Whether this emitter is a Store that serves HTTP."""
    if emitter is None or len(emitter) != 16:
        return False
    return emitter.startswith(MARK) and emitter[6] >> 4 == 8


class ReceiptsCodec:
    """Encodes the records of one receipts topic."""

    def __init__(self, registry: Registry, topic: str) -> None:
        """Raises Retriable, and Defect while the schema is not registered."""
        self.topic = topic
        schema = load_schema(resources.find("avro/transfer-receipts.avsc"))
        self._frame = frame(registry.id_of(f"{topic}-value", schema))
        self._schema = fastavro.parse_schema(schema)

    def encode(self, emitter: bytes, receipts: Sequence[Receipt]) -> list[Record]:
        """Records for these receipts, keyed by the emitter."""
        most = RECEIPTS_PER_RECORD_MAX
        pieces = [receipts[at : at + most] for at in range(0, len(receipts), most)]
        return [{"key": emitter, "value": self._encode(emitter, p)} for p in pieces]

    def _encode(self, emitter: bytes, receipts: Iterable[Receipt]) -> bytes:
        out = io.BytesIO()
        out.write(self._frame)
        record = {"emitter": emitter, "receipts": [r._asdict() for r in receipts]}
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()


def receipts_in(record: dict[str, Any]) -> list[Receipt]:
    """The receipts of one record."""
    return [
        Receipt(each["transfer_id"], each["client"], each["digest"])
        for each in record["receipts"]
    ]


class AvroReader:
    """Reads framed records of any compatible version as those of one schema."""

    def __init__(self, registry: Registry, schema_file: str) -> None:
        self._registry = registry
        schema = load_schema(resources.find(schema_file))
        self._schema = fastavro.parse_schema(schema)
        self._writers: dict[int, Any] = {}

    def read(self, value: bytes) -> dict[str, Any]:
        """One record. Raises Retriable (registry away), ValueError (unreadable)."""
        schema_id = schema_id_of(value)
        if schema_id is None:
            raise ValueError(f"not framed: {value[:FRAME_BYTES].hex()}")
        try:
            if schema_id not in self._writers:
                fetched = self._registry.schema(schema_id)
                self._writers[schema_id] = fastavro.parse_schema(fetched)
            body = io.BytesIO(value[FRAME_BYTES:])
            record: Any = fastavro.schemaless_reader(
                body, self._writers[schema_id], self._schema
            )
        except (LookupError, EOFError, TypeError, SchemaParseException) as error:
            raise ValueError(f"unreadable as schema {schema_id}: {error!r}") from error
        return dict(record)
