"""From Kafka record to transfer: Avro decoded by the batch, and what cannot be one.

A record that is neither a transfer nor a change of an account is never an exception
here: it gets a reason from `Reason` and a sentence, and goes to quarantine. Only the
registry's troubles raise (OnceError).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from consumers.bank.change_codec import is_change, read_change
from consumers.bank.schema_ids import SchemaIds
from once import resources
from once.columns import ColumnReader, Field
from once.errors import OnceError
from once.registry import (
    FRAME_BYTES,
    Registry,
    UnknownSchema,
    frame,
    load_schema,
    schema_id_of,
)
from once.schemas import UnusableSchema

RECORD_BYTES_MAX = 64 * 1024
MEMO_BYTES_MAX = 140
CREATED_AT_MS_MAX = 253_402_300_799_999  # the end of year 9999
INT64_MAX = 2**63 - 1
NIL = bytes(16)  # a transfer_id that nobody has set

Columns = dict[str, list[Any]]
# A column that is there only when some record of the batch changes an account: the
# Change in its row, None elsewhere. What else such a record shares with a transfer (id,
# account, reason, time, emitter) stands in the transfers' columns.
CHANGE = "change"
NO_CURRENCY = b"XXX"  # ISO 4217: none


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
    ENDS_WORKERS = "ENDS_WORKERS"


# Reasons that say nothing against the bytes: they may well be a Store's own record.
UNJUDGED = (Reason.UNKNOWN_SCHEMA, Reason.INCOMPATIBLE_SCHEMA, Reason.ENDS_WORKERS)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one row of a batch is no transfer.

    `doubtful`: only the registry stands between this record and a payment. Its body
    reads as a transfer of ours, under the key that it must have.
    """

    reason: Reason
    detail: str
    doubtful: bool = False


class TransferCodec:
    """Decodes batches of records of one topic."""

    def __init__(
        self,
        registry: Registry,
        subject: str,
        beat: Callable[[], None] = lambda: None,
        patience_seconds: float = 0.0,
    ) -> None:
        """Raises Retriable, and Defect while the schema is not registered.

        `beat()` is called before the registry is asked: a flood of records with as many
        schema ids is slow, but no stall. `patience_seconds`: see schema_ids.py.
        """
        schema = load_schema(resources.find("avro/transfer.avsc"))
        self._defaults = {
            field["name"]: field["default"]
            for field in schema["fields"]
            if "default" in field
        }
        self._frame = frame(registry.id_of(subject, schema))
        self._columns = ColumnReader(schema)
        self._parsed = fastavro.parse_schema(schema)
        change = load_schema(resources.find("avro/account-change.avsc"))
        self._parsed_change = fastavro.parse_schema(change)
        self._schemas = SchemaIds(registry, [schema, change], beat, patience_seconds)

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None]
    ) -> tuple[Columns, dict[int, Fault]]:
        """Columns by field name (and CHANGE), and the faults by row.

        Rows with a fault hold placeholders in every column. Raises Retriable when a
        schema must be fetched and the registry is away, or may yet learn an id.
        """
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
        with self._schemas.asking():
            for row in odd:
                fault = self._decode_alone(values[row], keys[row], columns, row)
                if fault is not None:
                    faults[row] = fault
        _check_form(columns, faults)
        _check_keys(columns, keys, faults)
        return columns, faults

    def _decode_alone(
        self, value: bytes | None, key: bytes | None, columns: Columns, row: int
    ) -> Fault | None:
        """Decode a record of another schema into its row, or say what is wrong."""
        fault = _unreadable(value)
        if fault is not None:
            return fault
        assert value is not None, "a null is unreadable"
        try:
            writer = self._schemas.writer(_id_in(value))
            there = _fields_of(value, writer)
            if is_change(writer):
                return _take_change(there, columns, row)
            record = self._resolve(there)
        except UnknownSchema as error:
            return Fault(Reason.UNKNOWN_SCHEMA, str(error), self._ours(value, key))
        except (UnusableSchema, SchemaParseException, SchemaResolutionError) as error:
            detail = f"schema id {_id_in(value)}: {_sentence(error)}"
            doubtful = self._ours(value, key)
            return Fault(Reason.INCOMPATIBLE_SCHEMA, detail, doubtful)
        except OnceError:
            raise  # away, or refusing us: that says nothing about the record
        except Exception as error:  # fastavro raises whatever the bytes provoke
            return Fault(Reason.BAD_BYTES, _sentence(error))
        if value.startswith(self._frame):
            # The column reader refused it, an ordinary reader does not: a lax encoding.
            return Fault(Reason.BAD_BYTES, "not the one encoding of a record")
        for name, resolved in record.items():
            columns[name][row] = resolved
        return None

    def _resolve(self, there: dict[str, Any]) -> dict[str, Any]:
        """A transfer as ints, bytes, strs and None. Raises anything."""
        return {
            field.name: (
                _resolved(field, there[field.name])
                if field.name in there
                else self._defaults[field.name]
            )
            for field in self._columns.fields
        }

    def _ours(self, value: bytes, key: bytes | None) -> bool:
        """Whether the body begins like a record of our own schemas, rightly keyed."""
        for schema, account in (
            (self._parsed, "debit_account"),
            (self._parsed_change, "account"),
        ):
            body = io.BytesIO(value[FRAME_BYTES:])
            try:
                record: Any = fastavro.schemaless_reader(body, schema, None)
                if key == b"%d" % record[account]:
                    return True
            except Exception:  # fastavro raises whatever the bytes provoke
                continue
        return False


def _fields_of(value: bytes, writer: Any) -> dict[str, Any]:
    """One record as its writer's schema says it. Raises anything.

    Every field is read, ours or not: fastavro does not notice that a field which it
    skips is cut short.
    """
    body = io.BytesIO(value[FRAME_BYTES:])
    there: Any = fastavro.schemaless_reader(body, writer, None)
    if body.read(1):
        raise ValueError("more bytes than one record")
    return dict(there)


def _take_change(there: dict[str, Any], columns: Columns, row: int) -> Fault | None:
    """Put a change into its row, or say what is wrong with it."""
    change, emitter, sequence, wrong = read_change(there)
    shared = {
        "transfer_id": change.change_id,
        "debit_account": change.asked.account,
        "currency": NO_CURRENCY,
        "memo": change.asked.reason,
        "created_at_ms": change.created_at_ms,
        "emitter": emitter,
        "emitter_sequence": sequence,
    }
    for name, value in shared.items():
        columns[name][row] = value
    if wrong is not None:
        return Fault(Reason.BAD_FORM, wrong)
    columns.setdefault(CHANGE, [None] * len(columns["memo"]))[row] = change
    return None


def _resolved(field: Field, value: Any) -> int | bytes | str | None:
    """A field's value as one of ours. Raises SchemaResolutionError, ValueError."""
    if value is None and field.nullable:
        return None
    if field.kind == "string":
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            return value
    elif field.kind == "fixed":
        if isinstance(value, bytes) and len(value) == field.size:
            return value
    elif type(value) is int:  # a bool is one, too
        if not -INT64_MAX - 1 <= value <= INT64_MAX:
            raise ValueError(f"{field.name} has more than 64 bits")
        return value
    size = f" of {field.size} bytes" if field.size else ""
    raise SchemaResolutionError(
        f"{field.name} is {value!r:.40} here, and no {field.kind}{size}"
    )


def _id_in(value: bytes) -> int:
    schema_id = schema_id_of(value)
    assert schema_id is not None, "not framed: see _unreadable"
    return schema_id


def _unreadable(value: bytes | None) -> Fault | None:
    """Why a value is not even tried."""
    if value is None:
        return Fault(Reason.NO_VALUE, "a record without a value is no transfer")
    if len(value) > RECORD_BYTES_MAX:
        sizes = f"{len(value)} bytes, allowed are {RECORD_BYTES_MAX}"
        return Fault(Reason.OVERSIZED, sizes)
    schema_id = schema_id_of(value)
    if schema_id is None:
        return Fault(
            Reason.NOT_FRAMED,
            f"begins with {value[:5].hex() or 'nothing'}, not with 00 and a schema id "
            "of 4 bytes (is the id in a header?)",
        )
    if schema_id == 0:
        return Fault(Reason.UNKNOWN_SCHEMA, _long_id(value))
    return None


def _long_id(value: bytes) -> str:
    """No registry gives the id 0: it is the upper half of one of 8 bytes."""
    given = int.from_bytes(value[1:9], "big")
    return (
        f"the schema id takes 8 bytes here (id {given}) and not 4: with Apicurio's "
        "serializers set apicurio.registry.use-id=contentId and the id handler "
        "io.apicurio.registry.serde.Legacy4ByteIdHandler"
    )


def _sentence(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".replace("\x00", "\\0")[:500]
    return text.encode("utf-8", "backslashreplace").decode()  # as Postgres can hold it


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


def _wrong_id(transfer_id: bytes) -> str | None:
    return "is nil: nobody has set it" if transfer_id == NIL else None


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
    "transfer_id": (lambda column: NIL not in column, _wrong_id),
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
    """The key decides the partition, so it must be the account that is debited or
    changed."""
    accounts = columns["debit_account"]
    joined = "\n".join(map(str, accounts)).encode()
    if None not in keys and b"\n".join(keys) == joined:  # type: ignore[arg-type]
        return
    changes = columns.get(CHANGE) or [None] * len(keys)
    for row, (account, key) in enumerate(zip(accounts, keys, strict=True)):
        if key != b"%d" % account:
            name = "debit_account" if changes[row] is None else "account"
            detail = _wrong_key(key, name, account)
            faults.setdefault(row, Fault(Reason.KEY_MISMATCH, detail))


def _wrong_key(key: bytes | None, name: str, account: int) -> str:
    detail = f"key {key!r} is not {name} {account}"[:300]
    if key is not None and key == account.to_bytes(8, "big", signed=True):
        return f"{detail} as text: use a string serializer for keys, not one of longs"
    return f"{detail} in decimal digits"
