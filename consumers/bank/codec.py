"""From Kafka record to transfer: Avro decoded by the batch, and what cannot be one.

A record that is no transfer is never an exception here: it gets a reason from `Reason`
and a sentence, and goes to quarantine. Only the registry's troubles raise (OnceError).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from once import resources
from once.columns import ColumnReader
from once.errors import OnceError
from once.registry import (
    FRAME_BYTES,
    Registry,
    UnknownSchema,
    frame,
    load_schema,
    schema_id_of,
)

RECORD_BYTES_MAX = 64 * 1024
MEMO_BYTES_MAX = 140
CREATED_AT_MS_MAX = 253_402_300_799_999  # the end of year 9999
INT64_MAX = 2**63 - 1

Columns = dict[str, list[Any]]


class Reason(StrEnum):
    """Why a record is in quarantine."""

    NO_VALUE = "NO_VALUE"
    OVERSIZED = "OVERSIZED"
    NOT_FRAMED = "NOT_FRAMED"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    INCOMPATIBLE_SCHEMA = "INCOMPATIBLE_SCHEMA"
    BAD_BYTES = "BAD_BYTES"
    BAD_FORM = "BAD_FORM"
    KEY_MISMATCH = "KEY_MISMATCH"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one row of a batch is no transfer."""

    reason: Reason
    detail: str


class TransferCodec:
    """Decodes batches of records of one topic."""

    def __init__(
        self,
        registry: Registry,
        subject: str,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises Retriable, and Defect while the schema is not registered.

        `beat()` is called before the registry is asked: a flood of records with as many
        schema ids is slow, but no stall.
        """
        self._registry = registry
        self._beat = beat
        self._schema = load_schema(resources.find("avro/transfer.avsc"))
        self._names = [field["name"] for field in self._schema["fields"]]
        self._frame = frame(registry.id_of(subject, self._schema))
        self._columns = ColumnReader(self._schema)
        self._parsed = fastavro.parse_schema(self._schema)
        self._writers: dict[int, Any] = {}
        # Asked once per batch: a flood of such records must not become one of requests.
        self._useless: dict[int, Exception] = {}

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None]
    ) -> tuple[Columns, dict[int, Fault]]:
        """Columns by field name, and the faults by row.

        Rows with a fault hold placeholders in every column. Raises Retriable when a
        schema must be fetched and the registry is away.
        """
        self._useless.clear()
        ours = self._frame
        plain = [
            (
                value
                if value is not None
                and value[:FRAME_BYTES] == ours
                and len(value) <= RECORD_BYTES_MAX
                else b""
            )
            for value in values
        ]
        columns, odd = self._columns.read(plain, FRAME_BYTES)
        faults: dict[int, Fault] = {}
        for row in odd:
            fault = self._decode_alone(values[row], columns, row)
            if fault is not None:
                faults[row] = fault
        _check_form(columns, faults)
        _check_keys(columns, keys, faults)
        return columns, faults

    def _decode_alone(
        self, value: bytes | None, columns: Columns, row: int
    ) -> Fault | None:
        """Decode a record of another schema into its row, or say what is wrong."""
        fault = _unreadable(value)
        if fault is not None:
            return fault
        assert value is not None, "a null is unreadable"
        try:
            record = self._read(self._writer(schema_id_of(value)), value)
        except UnknownSchema as error:
            return Fault(Reason.UNKNOWN_SCHEMA, str(error))
        except (SchemaParseException, SchemaResolutionError) as error:
            return Fault(Reason.INCOMPATIBLE_SCHEMA, _sentence(error))
        except OnceError:
            raise  # away, or refusing us: that says nothing about the record
        except Exception as error:  # fastavro raises whatever the bytes provoke
            return Fault(Reason.BAD_BYTES, _sentence(error))
        if value.startswith(self._frame):
            # The column reader refused it, an ordinary reader does not: a lax encoding.
            return Fault(Reason.BAD_BYTES, "not the one encoding of a record")
        for name in self._names:
            columns[name][row] = record[name]
        return None

    def _read(self, writer: Any, value: bytes) -> dict[str, Any]:
        body = io.BytesIO(value[FRAME_BYTES:])
        record: Any = fastavro.schemaless_reader(body, writer, self._parsed)
        if body.read(1):
            raise ValueError("more bytes than one record")
        numbers = [number for number in record.values() if isinstance(number, int)]
        if numbers and not -INT64_MAX - 1 <= min(numbers) <= max(numbers) <= INT64_MAX:
            raise ValueError("an integer has more than 64 bits")
        return dict(record)

    def _writer(self, schema_id: int | None) -> Any:
        assert schema_id is not None, "not framed: see _unreadable"
        if schema_id in self._useless:
            raise self._useless[schema_id].with_traceback(None)
        if schema_id not in self._writers:
            try:
                self._writers[schema_id] = self._fetch(schema_id)
            except (UnknownSchema, SchemaParseException) as error:
                self._useless[schema_id] = error
                raise
        return self._writers[schema_id]

    def _fetch(self, schema_id: int) -> Any:
        self._beat()
        try:
            return fastavro.parse_schema(self._registry.schema(schema_id))
        except json.JSONDecodeError as error:
            raise SchemaParseException(f"schema {schema_id} is not Avro") from error


def _unreadable(value: bytes | None) -> Fault | None:
    """Why a value is not even tried."""
    if value is None:
        return Fault(Reason.NO_VALUE, "a record without a value is no transfer")
    if len(value) > RECORD_BYTES_MAX:
        sizes = f"{len(value)} bytes, allowed are {RECORD_BYTES_MAX}"
        return Fault(Reason.OVERSIZED, sizes)
    if schema_id_of(value) is None:
        return Fault(Reason.NOT_FRAMED, f"begins with {value[:5].hex() or 'nothing'}")
    return None


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\x00", "\\0")[:500]


def _check_form(columns: Columns, faults: dict[int, Fault]) -> None:
    """The rules of form that the schema cannot say."""
    for name, (all_good, wrong) in _FORM.items():
        column = columns[name]
        if not column or all_good(column):
            continue
        for row, value in enumerate(column):
            detail = wrong(value)
            if detail is not None and row not in faults:
                faults[row] = Fault(Reason.BAD_FORM, f"{name} {detail}")


def _wrong_memo(memo: str) -> str | None:
    if "\x00" in memo:
        return "holds a NUL"
    size = len(memo.encode())
    return (
        f"has {size} bytes, allowed {MEMO_BYTES_MAX}" if size > MEMO_BYTES_MAX else None
    )


def _wrong_time(at: int) -> str | None:
    good = 0 <= at <= CREATED_AT_MS_MAX
    return None if good else f"{at} is no time between 1970 and 9999"


def _wrong_sequence(number: int) -> str | None:
    return None if number >= 0 else f"{number} is negative"


def _wrong_currency(code: bytes) -> str | None:
    good = code.isascii() and b"\x00" not in code  # else Postgres cannot hold it
    return None if good else f"{code.hex()} is no ASCII text"


# By column: a quick look at all rows, and what is wrong with one.
_FORM: dict[str, tuple[Callable[[Any], bool], Callable[[Any], str | None]]] = {
    "memo": (lambda column: not any(column), _wrong_memo),
    "created_at_ms": (
        lambda column: 0 <= min(column) <= max(column) <= CREATED_AT_MS_MAX,
        _wrong_time,
    ),
    "emitter_sequence": (lambda column: min(column) >= 0, _wrong_sequence),
    "currency": (lambda column: b"".join(set(column)).isalpha(), _wrong_currency),
}


def _check_keys(
    columns: Columns, keys: Sequence[bytes | None], faults: dict[int, Fault]
) -> None:
    """The key decides the partition, so it must be the payer's account."""
    accounts = columns["debit_account"]
    joined = "\n".join(map(str, accounts)).encode()
    if None not in keys and b"\n".join(keys) == joined:  # type: ignore[arg-type]
        return
    for row, (account, key) in enumerate(zip(accounts, keys, strict=True)):
        if key != b"%d" % account:
            detail = f"key {key!r} is not debit_account {account}"[:500]
            faults.setdefault(row, Fault(Reason.KEY_MISMATCH, detail))
