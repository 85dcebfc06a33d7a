"""Receipts: who sent which transfers through the HTTP API.

They travel in the Kafka transaction of their transfers. So every replica of the Store
learns from the log alone what was committed, whose it is and what it said, and a client
sees its own transfers only.

Emitters that write receipts are told by their id: a UUID of version 8 whose
first six bytes are `MARK`. Results of other emitters need not be decoded.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import fastavro

from once import resources
from once.producer import Record
from once.registry import Registry, frame, load_schema
from producers.store.ids import uuid8
from producers.store.transfers import Transfer

RECEIPTS_PER_RECORD_MAX = 4_000
UUID_BYTES = 16  # a digest has as many
MARK = b"once\xb0\x01"


class Receipt(NamedTuple):
    """One transfer: whose it is, and the digest of what it says."""

    transfer_id: bytes
    client: str
    digest: bytes


class ClientReceipts(NamedTuple):
    """Receipts of one client, packed: ids and digests one behind the other."""

    client: str
    transfer_ids: bytes
    digests: bytes

    def __len__(self) -> int:
        return len(self.transfer_ids) // UUID_BYTES

    def ids(self) -> list[bytes]:
        """The ids, one by one."""
        return unpacked(self.transfer_ids)


def unpacked(ids: bytes) -> list[bytes]:
    """Ids that are one behind the other."""
    return [ids[at : at + UUID_BYTES] for at in range(0, len(ids), UUID_BYTES)]


def by_client(receipts: Iterable[Receipt]) -> list[ClientReceipts]:
    """The same receipts, packed."""
    groups: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        groups.setdefault(receipt.client, []).append(receipt)
    return [
        ClientReceipts(
            client,
            b"".join(receipt.transfer_id for receipt in group),
            b"".join(receipt.digest for receipt in group),
        )
        for client, group in groups.items()
    ]


def digest_of(transfer: Transfer) -> bytes:
    """Of what the Bank compares when an id comes again (ADR 6), 16 bytes."""
    text = (
        f"{transfer.debit_account} {transfer.credit_account} {transfer.amount} "
        f"{transfer.currency} {transfer.memo}"
    )
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def new_emitter() -> bytes:
    """The id of a new incarnation that writes receipts."""
    return uuid8(MARK + os.urandom(10)).bytes


def writes_receipts(emitter: bytes | None) -> TypeGuard[bytes]:
    """Whether this emitter is a Store that serves HTTP."""
    if emitter is None or len(emitter) != UUID_BYTES:
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

    def encode(self, emitter: bytes, clients: Sequence[ClientReceipts]) -> list[Record]:
        """Records for these receipts, keyed by the emitter."""
        return [
            {"key": emitter, "value": self._encode(emitter, piece)}
            for piece in _pieces(clients)
        ]

    def _encode(self, emitter: bytes, clients: Sequence[ClientReceipts]) -> bytes:
        out = io.BytesIO()
        out.write(self._frame)
        record = {"emitter": emitter, "clients": [c._asdict() for c in clients]}
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()


def receipts_in(record: dict[str, Any]) -> list[ClientReceipts]:
    """The receipts of one record. Raises ValueError when they are no pairs."""
    clients = [
        ClientReceipts(each["client"], each["transfer_ids"], each["digests"])
        for each in record["clients"]
    ]
    for _, ids, digests in clients:
        if len(ids) != len(digests) or len(ids) % UUID_BYTES:
            raise ValueError(f"{len(ids)} bytes of ids, {len(digests)} of digests")
    return [each for each in clients if len(each)]


def _pieces(clients: Iterable[ClientReceipts]) -> Iterator[list[ClientReceipts]]:
    """The receipts in groups that fit into one record each."""
    piece: list[ClientReceipts] = []
    room = most = RECEIPTS_PER_RECORD_MAX * UUID_BYTES
    for client, ids, digests in clients:
        while ids:
            piece.append(ClientReceipts(client, ids[:room], digests[:room]))
            ids, digests = ids[room:], digests[room:]
            room -= len(piece[-1].transfer_ids)
            if not room:
                yield piece
                piece, room = [], most
    if piece:
        yield piece
