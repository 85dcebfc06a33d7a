"""Golden bytes: three readers agree on what they say, our writers write just them."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID

import avro.io
import avro.schema
import fastavro
import pytest

from consumers.bank.batch import Records, Slice, decode
from consumers.bank.change_codec import read_change
from consumers.bank.codec import MEMO_BYTES_MAX, TransferCodec
from consumers.bank.results import ResultsCodec
from consumers.bank.verdicts import Verdict
from once.columns import ColumnReader, ColumnWriter
from once.reader import AvroReader
from once.registry import FRAME_BYTES, Registry, frame, schema_id_of
from producers.store.account_changes import AccountChange, ChangeChunk, ChangeWriter
from producers.store.receipts import ReceiptsCodec, receipts_in, writes_receipts
from tests.contract.conftest import LATER_ID
from tests.contract.golden import FOLDER, SCHEMA_ID, Golden, all_golden, golden

TRANSFERS = all_golden("transfer")
RESULTS = all_golden("transfer-results")
RECEIPTS = all_golden("transfer-receipts")
CHANGES = all_golden("account-change")
ALL = [*TRANSFERS, *RESULTS, *RECEIPTS, *CHANGES]
SUBJECT = "transfers-value"

any_one = pytest.mark.parametrize("one", ALL, ids=lambda g: g.name)
changes = pytest.mark.parametrize("one", CHANGES, ids=lambda g: g.name)
transfers = pytest.mark.parametrize("one", TRANSFERS, ids=lambda g: g.name)


def body(of: Golden) -> io.BytesIO:
    return io.BytesIO(of.framed[FRAME_BYTES:])


def by_column(of: Golden) -> dict[str, list[Any]]:
    return {name: [value] for name, value in of.value.items()}


def test_every_golden_file_has_its_description_and_the_other_way_round() -> None:
    described = {path.stem for path in FOLDER.glob("*.json")}
    assert described == {path.stem for path in FOLDER.glob("*.bin")}
    assert described == {one.name for one in ALL}


@any_one
def test_a_record_begins_with_a_zero_byte_and_the_schema_id(one: Golden) -> None:
    assert one.framed[:FRAME_BYTES] == b"\x00\x00\x00\x00\x01"
    assert schema_id_of(one.framed) == SCHEMA_ID


@any_one
def test_the_avro_package_reads_what_is_described(one: Golden) -> None:
    schema = avro.schema.parse(json.dumps(one.schema))
    stream = body(one)
    value = avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(stream))
    assert value == one.value
    assert stream.read() == b""


@any_one
def test_fastavro_reads_what_is_described(one: Golden) -> None:
    stream = body(one)
    value: Any = fastavro.schemaless_reader(stream, one.schema, None)
    assert value == one.value
    assert stream.read() == b""


@transfers
def test_columns_read_what_is_described(one: Golden) -> None:
    columns, bad = ColumnReader(one.schema).read([one.framed], FRAME_BYTES)
    assert bad == []
    assert columns == by_column(one)


def test_the_bank_reads_what_is_described(transfers_registry: Registry) -> None:
    codec = TransferCodec(transfers_registry, SUBJECT)
    columns, faults = codec.decode(
        [one.framed for one in TRANSFERS], [one.key for one in TRANSFERS]
    )
    assert faults == {}
    for row, one in enumerate(TRANSFERS):
        assert {name: column[row] for name, column in columns.items()} == one.value


@transfers
def test_the_bank_reads_the_same_from_a_later_schema(
    transfers_registry: Registry, one: Golden
) -> None:
    later = transfers_registry.schema(LATER_ID)
    out = io.BytesIO()
    out.write(frame(LATER_ID))
    fastavro.schemaless_writer(out, later, {**one.value, "purpose": "rent"})
    codec = TransferCodec(transfers_registry, SUBJECT)
    columns, faults = codec.decode([out.getvalue()], [one.key])
    assert faults == {}
    assert columns == by_column(one)


@transfers
def test_the_store_writes_just_these_bytes(one: Golden) -> None:
    writer = ColumnWriter(one.schema, frame(SCHEMA_ID))
    assert writer.write(by_column(one)) == [one.framed]


@pytest.mark.parametrize(
    "name", ["results-several", "results-foreign", "results-repeats"]
)
def test_the_bank_writes_just_these_bytes(
    transfers_registry: Registry, results_registry: Registry, name: str
) -> None:
    one = golden(name)
    piece = batch_of(one, transfers_registry)
    verdicts = piece.all_verdicts(
        [
            Verdict[result["verdict"]]
            for result in one.value["results"]
            if result["verdict"] != "QUARANTINED"
        ]
    )
    codec = ResultsCodec(results_registry, "transfer-results-value")
    told = [Verdict[r["first_verdict"]] for r in one.value["results"]]
    firsts = {row: first for row, first in enumerate(told) if first}
    records = codec.encode(piece, verdicts, 0, firsts)
    assert records == [{"key": one.key, "value": one.framed}]


def test_the_store_writes_and_reads_just_these_receipts(
    receipts_registry: Registry,
) -> None:
    (one,) = RECEIPTS
    codec = ReceiptsCodec(receipts_registry, "transfer-receipts")
    clients = receipts_in(one.value)
    assert [len(client) for client in clients] == [2, 1]
    records = codec.encode(one.value["emitter"], clients)
    assert records == [{"key": one.key, "value": one.framed}]
    reader = AvroReader(receipts_registry, "avro/transfer-receipts.avsc")
    assert receipts_in(reader.read(one.framed)) == clients
    assert writes_receipts(one.key) and not writes_receipts(RESULTS[0].key)


@changes
def test_the_store_writes_just_these_changes(
    one: Golden, changes_registry: Registry
) -> None:
    asked = {n: v for n, v in one.value.items() if not n.startswith("emitter")}
    change = AccountChange.model_validate(
        {
            **asked,
            "change_id": UUID(bytes=asked["change_id"]),
            "currency": asked["currency"] and asked["currency"].decode(),
            "status": asked["status"] and asked["status"].lower(),
        }
    )
    writer = ChangeWriter(changes_registry, "transfers")
    emitter, number = one.value["emitter"], one.value["emitter_sequence"]
    assert writer.write(ChangeChunk([change]), emitter, [number]) == [one.framed]


@changes
def test_the_bank_reads_what_a_change_asks_for(one: Golden) -> None:
    found = read_change(one.value)
    assert found.wrong is None
    assert (found.emitter, found.emitter_sequence) == (
        one.value["emitter"],
        one.value["emitter_sequence"],
    )
    asked = found.change.asked
    for name in ("account", "must_be_new", "credit_limit", "reason", "changed_by"):
        assert getattr(asked, name) == one.value[name]
    assert (asked.currency or "").encode() == (one.value["currency"] or b"")
    assert (asked.status or "").upper() == (one.value["status"] or "")
    assert found.change.change_id == one.value["change_id"]


def batch_of(one: Golden, registry: Registry) -> Slice:
    """The batch that has these results; its last record has a wrong key."""
    results = one.value["results"]
    wrong = [result["verdict"] == "QUARANTINED" for result in results]
    count = len(results)
    values = ColumnWriter(golden("transfer-typical").schema, frame(SCHEMA_ID)).write(
        {
            "transfer_id": [result["transfer_id"] for result in results],
            "debit_account": [1] * count,
            "credit_account": [2] * count,
            "amount": [100] * count,
            "currency": [b"EUR"] * count,
            "memo": [""] * count,
            "created_at_ms": [0] * count,
            "emitter": [one.value["emitter"]] * count,
            "emitter_sequence": list(range(count)),
        }
    )
    records = Records(
        partition=one.value["partition"],
        offsets=[result["offset"] for result in results],
        keys=[b"2" if bad else b"1" for bad in wrong],
        values=list(values),
        headers=[None] * count,
    )
    (piece,) = decode([records], TransferCodec(registry, SUBJECT))
    return piece


def test_the_largest_memo_is_as_large_as_one_may_be() -> None:
    memo = golden("transfer-largest").value["memo"]
    assert len(memo.encode()) == MEMO_BYTES_MAX > len(memo)


def test_there_is_a_golden_result_for_every_verdict_that_is_sent() -> None:
    sent = [result["verdict"] for result in golden("results-several").value["results"]]
    assert sent == [verdict.name for verdict in Verdict if verdict != Verdict.UNKNOWN]
