"""What cannot be a transfer is set aside, whole, with its reason; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from consumers.bank.codec import CREATED_AT_MS_MAX, RECORD_BYTES_MAX
from local.platform import Platform
from once.registry import frame
from tests.fix_platform import balance, emit, transfer, verdict
from tests.integration.kafka_admin import set_group_offsets
from tests.integration.published import wait_for_results
from tests.integration.raw import Foreign, Raw, id_of, partition_of
from tests.integration.schemas import Schemas, record_type

pytestmark = pytest.mark.stack

PAYER = 1
KEY = b"%d" % PAYER
UNREAD = UUID(int=0)

Make = Callable[[Foreign], Raw]


def framed(**changed: Any) -> Make:
    """Well encoded, but with a field that breaks a rule of form."""
    return lambda foreign: foreign.transfer(**changed)


def bytes_of(change: Callable[[bytes], bytes | None]) -> Make:
    """A good record's bytes, changed."""
    return lambda foreign: Raw(KEY, change(foreign.value()))


def keyed(key: bytes | None) -> Make:
    return lambda foreign: Raw(key, foreign.value())


def with_memo(memo: bytes) -> Make:
    """A record whose memo is bytes that no encoder would write."""

    def make(foreign: Foreign) -> Raw:
        mark = "@" * len(memo)
        return Raw(KEY, foreign.value(memo=mark).replace(mark.encode(), memo))

    return make


BAD: Mapping[str, tuple[Make, str]] = {
    "null value": (bytes_of(lambda good: None), "NO_VALUE"),
    "no bytes": (bytes_of(lambda good: b""), "NOT_FRAMED"),
    "a frame cut short": (bytes_of(lambda good: good[:4]), "NOT_FRAMED"),
    "another magic byte": (bytes_of(lambda good: b"\x01" + good[1:]), "NOT_FRAMED"),
    "JSON": (bytes_of(lambda good: b'{"amount": 1}'), "NOT_FRAMED"),
    "too large": (framed(memo="m" * RECORD_BYTES_MAX), "OVERSIZED"),
    "too large by one byte": (
        bytes_of(lambda good: good.ljust(RECORD_BYTES_MAX + 1, b"\0")),
        "OVERSIZED",
    ),
    "as large as allowed": (
        bytes_of(lambda good: good.ljust(RECORD_BYTES_MAX, b"\0")),
        "BAD_BYTES",
    ),
    "unknown schema id": (
        bytes_of(lambda good: frame(2**31 - 1) + good[5:]),
        "UNKNOWN_SCHEMA",
    ),
    "a schema id beyond every id": (
        bytes_of(lambda good: frame(2**32 - 1) + good[5:]),
        "UNKNOWN_SCHEMA",
    ),
    "a frame and nothing": (bytes_of(lambda good: good[:5]), "BAD_BYTES"),
    "truncated in the id": (bytes_of(lambda good: good[:12]), "BAD_BYTES"),
    "truncated by a byte": (bytes_of(lambda good: good[:-1]), "BAD_BYTES"),
    "a byte too many": (bytes_of(lambda good: good + b"\0"), "BAD_BYTES"),
    "two records in one": (bytes_of(lambda good: good + good[5:]), "BAD_BYTES"),
    "memo of invalid UTF-8": (with_memo(b"\xff\xfe"), "BAD_BYTES"),
    "memo of half a surrogate pair": (with_memo(b"\xed\xa0\x80"), "BAD_BYTES"),
    "memo with a NUL": (framed(memo="a\0b"), "BAD_FORM"),
    "memo of 141 letters": (framed(memo="m" * 141), "BAD_FORM"),
    "memo of 71 letters, 142 bytes": (framed(memo="ä" * 71), "BAD_FORM"),
    "currency that is no text": (framed(currency=b"\xff\x00\x01"), "BAD_FORM"),
    "created before 1970": (framed(created_at_ms=-1), "BAD_FORM"),
    "created after 9999": (framed(created_at_ms=CREATED_AT_MS_MAX + 1), "BAD_FORM"),
    "created at no time at all": (framed(created_at_ms=2**63 - 1), "BAD_FORM"),
    "negative sequence": (
        framed(emitter=bytes(range(16)), emitter_sequence=-1),
        "BAD_FORM",
    ),
    "the payee's key": (keyed(b"101"), "KEY_MISMATCH"),
    "a key with a leading zero": (keyed(b"0" + KEY), "KEY_MISMATCH"),
    "a key of eight bytes": (keyed(PAYER.to_bytes(8, "big")), "KEY_MISMATCH"),
    "a key that is no text": (keyed(b"\xff\x00"), "KEY_MISMATCH"),
    "an empty key": (keyed(b""), "KEY_MISMATCH"),
    "no key": (keyed(None), "KEY_MISMATCH"),
}
READABLE = ("BAD_FORM", "KEY_MISMATCH")  # their results name the transfer


@dataclass(frozen=True)
class Aside:
    """A row of the quarantine."""

    reason: str
    detail: str
    key: bytes | None
    value: bytes | None


def quarantine(platform: Platform) -> dict[tuple[int, int], Aside]:
    """All that was set aside, by partition and offset."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute(
            "SELECT partition, record_offset, reason, detail, record_key, record_value"
            " FROM quarantine WHERE topic = %s",
            (platform.topic,),
        )
        return {(row[0], row[1]): Aside(*row[2:]) for row in rows}


def batches(platform: Platform) -> list[tuple[int, int]]:
    """Partition and number of records of every batch."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT partition, records FROM batches ORDER BY 1, batch_number"
        return connection.execute(query).fetchall()


def audit_holds(platform: Platform) -> None:
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_every_kind_of_bad_record_is_set_aside_and_the_good_ones_around_are_posted(
    platform: Platform,
) -> None:
    place = partition_of(PAYER)
    with Foreign(platform) as foreign:
        bad = {name: make(foreign) for name, (make, _) in BAD.items()}
        good = [foreign.transfer() for _ in range(len(bad) + 1)]
        mixed = [good[0]]
        for one, other in zip(bad.values(), good[1:], strict=True):
            mixed += [one, other]
        offsets = foreign.send(*mixed, partition=place)
    with platform.bank():
        found = wait_for_results(platform, len(mixed))
        platform.wait_applied(len(mixed))
        last = transfer(PAYER)
        emit(platform, last)
        platform.wait_applied(len(mixed) + 1)

    assert batches(platform) == [(place, len(mixed)), (place, 1)], "not one poll"
    aside = quarantine(platform)
    where = dict(zip(bad, offsets[1::2], strict=True))
    reasons = {name: aside[place, at].reason for name, at in where.items()}
    assert reasons == {name: reason for name, (_, reason) in BAD.items()}
    assert len(aside) == len(bad)
    kept = {
        name: (aside[place, at].key, aside[place, at].value)
        for name, at in where.items()
    }
    assert kept == {name: (raw.key, raw.value) for name, raw in bad.items()}
    assert all(row.detail for row in aside.values())

    said = {(r.partition, r.offset): (r.verdict, r.transfer_id) for r in found}
    assert len(said) == len(found) == len(mixed), "not one result per record"
    for name, at in where.items():
        readable = BAD[name][1] in READABLE
        expected = id_of(bad[name]) if readable else UNREAD
        assert said[place, at] == ("QUARANTINED", expected), name
    posted = [said[place, at] for at in offsets[::2]]
    assert posted == [("POSTED", id_of(raw)) for raw in good]
    assert verdict(platform, last.transfer_id) == "POSTED"
    assert balance(platform, PAYER) == -100 * (len(good) + 1)
    audit_holds(platform)


def test_a_topic_of_nothing_but_garbage_is_worked_off(platform: Platform) -> None:
    with Foreign(platform) as foreign:
        for place in (0, 1):
            foreign.send(
                *[Raw(None, b"garbage %d" % n) for n in range(9)], partition=place
            )
    with platform.bank():
        platform.wait_applied(18)
        found = wait_for_results(platform, 18)
    assert {result.verdict for result in found} == {"QUARANTINED"}
    assert sorted((r.partition, r.offset) for r in found) == sorted(
        quarantine(platform)
    )
    audit_holds(platform)


def test_verdicts_read_from_the_ledger_again_are_the_same(platform: Platform) -> None:
    """As after a crash between the ledger's COMMIT and the publishing of results."""
    with Foreign(platform) as foreign:
        first = foreign.transfer()
        records = [first, Raw(KEY, b"garbage"), first, Raw(None, first.value)]
        records += [foreign.transfer(memo="a\0b"), foreign.transfer(amount=0)]
        foreign.send(*records, partition=partition_of(PAYER))
    with platform.bank() as bank:
        once = wait_for_results(platform, len(records))
        platform.wait_applied(len(records))
        assert bank.terminate() == 0
    set_group_offsets(platform, dict.fromkeys(platform.positions(), 0))
    with platform.bank():
        twice = wait_for_results(platform, 2 * len(records))
    assert sorted(map(str, twice)) == sorted(2 * list(map(str, once)))


def test_a_newer_version_of_the_schema_is_read(platform: Platform) -> None:
    added = {"name": "channel", "type": "string", "default": ""}
    newer = Schemas(platform).newer(added)
    value = newer(amount=70, memo="grüß Gott", channel="web")
    poor = newer(debit_account=101, memo="", channel="")
    with Foreign(platform) as foreign:
        old, new = foreign.transfer(amount=30), Raw(KEY, value)
        foreign.send(old, new, old, new, Raw(KEY, value + b"\0"))
        foreign.send(Raw(b"101", poor))
    with platform.bank():
        platform.wait_applied(6)
    assert verdict(platform, id_of(old)) == verdict(platform, id_of(new)) == "POSTED"
    assert verdict(platform, id_of(Raw(None, poor))) is not None
    assert [row.reason for row in quarantine(platform).values()] == ["BAD_BYTES"]
    assert balance(platform, PAYER) == -100 + (balance(platform, 101) < 0)
    audit_holds(platform)


def test_records_of_other_schemas_are_set_aside(platform: Platform) -> None:
    schemas = Schemas(platform)
    words = {"name": "words", "type": "string"}
    amount = {"name": "amount", "type": "string"}
    other = schemas.other
    values = {
        "another record": other("a", record_type("Other", words), {"words": "hello"}),
        "no field of ours": other("b", record_type("Transfer", words), {"words": "x"}),
        "fields of other types": other(
            "c", record_type("Transfer", amount), {"amount": "ten"}
        ),
        "no fields": other("d", record_type("Transfer"), {}),
        "a string": other("e", "string", "hello"),
        "an array": other("f", {"type": "array", "items": "long"}, [1, 2, 3]),
        "no Avro": schemas.protobuf(b"\x0a\x05hello"),
    }
    with Foreign(platform) as foreign:
        good = foreign.transfer()
        foreign.send(good, *[Raw(KEY, value) for value in values.values()], good)
    with platform.bank():
        platform.wait_applied(len(values) + 2)
    aside = quarantine(platform)
    names = {value: name for name, value in values.items()}
    reasons = {names[row.value or b""]: row.reason for row in aside.values()}
    expected = dict.fromkeys(values, "INCOMPATIBLE_SCHEMA")
    assert reasons == expected, [row.detail for row in aside.values()]
    assert verdict(platform, id_of(good)) == "POSTED"
    audit_holds(platform)


def test_a_flood_of_unknown_schemas_does_not_hold_up_the_partition(
    platform: Platform,
) -> None:
    """Were the registry asked for each of them, this would take minutes."""
    flood = 20_000
    with Foreign(platform) as foreign:
        good = foreign.transfer()
        unknown = Raw(KEY, frame(2**31 - 1))
        foreign.send(*[unknown] * flood, good)
    with platform.bank():
        platform.wait_applied(flood + 1, timeout_seconds=60)
    assert verdict(platform, id_of(good)) == "POSTED"
    audit_holds(platform)
