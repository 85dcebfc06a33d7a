"""Whatever a foreign producer writes any day: the partition goes on, with a reason.

All odd records go through two supervised workers, with good payments before, between
and behind them; the audit, peek and the followers of Stores read the same bytes.
"""

from __future__ import annotations

import copy
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from local.tools import STATE_DIR_VARIABLE
from once import resources
from once.registry import frame, load_schema
from tests.fix_platform import emit, health_url, transfer, verdict
from tests.integration.raw import Foreign, Raw, id_of, partition_of
from tests.integration.raw_headers import send as send_with_headers

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
OURS = load_schema(resources.find("avro/transfer.avsc"))
KEY, PLACE = b"1", partition_of(1)
POSTED = "POSTED"
ENDLESS = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"


class Strange:
    """Registers schemas as a stranger does, under subjects of its own."""

    def __init__(self, platform: Platform) -> None:
        self._url = platform.stack.endpoints.registry_url
        self._prefix = f"foreign-{platform.name}"

    def register(self, name: str, schema: Any, **more: Any) -> int:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        answer = httpx.post(
            f"{self._url}/subjects/{self._prefix}-{name}/versions",
            json={"schemaType": "AVRO", "schema": text, **more},
        )
        return int(answer.raise_for_status().json()["id"])

    def reference(self) -> int:
        """Our schema, with its Uuid as a subject of its own."""
        uuid = {
            "type": "fixed",
            "namespace": "once.payments",
            "name": "Uuid",
            "size": 16,
        }
        self.register("uuid", uuid)
        subject = f"{self._prefix}-uuid"
        named = {"name": "once.payments.Uuid", "subject": subject, "version": 1}
        schema = changed("transfer_id", "once.payments.Uuid")
        return self.register("reference", schema, references=[named])


def changed(name: str, kind: Any) -> Any:
    schema = copy.deepcopy(OURS)
    next(f for f in schema["fields"] if f["name"] == name)["type"] = kind
    return schema


def with_field(kind: Any) -> Any:
    schema = copy.deepcopy(OURS)
    schema["fields"].append({"name": "meta", "type": kind, "default": None})
    return schema


NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"], "default": None}],
}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


Odd = dict[str, tuple[Raw, str, str]]  # record, what becomes of it, word of detail


def records_of_odd_schemas(platform: Platform, foreign: Foreign) -> Odd:
    """Good bytes, mostly, behind the schema of a stranger."""
    strange = Strange(platform)

    def of(name: str, schema: Any, tail: bytes = b"", **more: Any) -> Raw:
        number = strange.register(name, schema, **more)
        return Raw(KEY, frame(number) + foreign.value()[5:] + tail)

    good = foreign.value()
    memo_at = good.index(b"EUR") + 3
    no_memo = good[5:memo_at] + b"\0" + good[memo_at + 1 :]
    nullable = strange.register("nullable", changed("memo", ["null", "string"]))
    message = 'syntax = "proto3"; message Other { string words = 1; }'
    everything = {"type": "object", "properties": {}}
    recursive = with_field(["null", NODE])
    zero = with_field(["null", {"type": "array", "items": "null"}])
    return {
        "time as a logical type": (
            of("ts", changed("created_at_ms", MILLIS)),
            POSTED,
            "",
        ),
        "Java's own strings": (
            of("js", changed("memo", {"type": "string", "avro.java.string": "String"})),
            POSTED,
            "",
        ),
        "a reference": (
            Raw(KEY, frame(strange.reference()) + foreign.value()[5:]),
            POSTED,
            "",
        ),
        "null where a text is due": (
            Raw(KEY, frame(nullable) + no_memo),
            "INCOMPATIBLE_SCHEMA",
            "memo is None here",
        ),
        "recursion": (
            of("recursion", recursive, b"\x02" * 60_000 + b"\0"),
            "INCOMPATIBLE_SCHEMA",
            "recursion is refused",
        ),
        "items of no bytes": (
            of("zero", zero, b"\x02" + ENDLESS),
            "INCOMPATIBLE_SCHEMA",
            "could be endless",
        ),
        "another kind of schema": (
            of("proto", message, schemaType="PROTOBUF"),
            "INCOMPATIBLE_SCHEMA",
            "of kind PROTOBUF",
        ),
        "a JSON schema": (
            of("json", everything, schemaType="JSON"),
            "INCOMPATIBLE_SCHEMA",
            "of kind JSON",
        ),
        "another type of amount": (
            of("float", changed("amount", "double")),
            "INCOMPATIBLE_SCHEMA",
            "amount is of type double",
        ),
    }


def records_of_odd_bytes(foreign: Foreign) -> Odd:
    """Records that are not what our schema, our frame or our keys say."""
    return {
        "an id of 8 bytes": (
            Raw(KEY, b"\0" * 5 + struct.pack(">I", 77) + foreign.value()[5:]),
            "UNKNOWN_SCHEMA",
            "takes 8 bytes here (id 77)",
        ),
        "an id in a header": (
            Raw(KEY, foreign.value()[5:]),
            "NOT_FRAMED",
            "in a header",
        ),
        "a key of a long": (
            Raw(struct.pack(">q", 1), foreign.value()),
            "KEY_MISMATCH",
            "use a string serializer",
        ),
        "a key in quotes": (Raw(b'"1"', foreign.value()), "KEY_MISMATCH", ""),
        "no key": (Raw(None, foreign.value()), "KEY_MISMATCH", ""),
        "a tombstone": (Raw(KEY, None), "NO_VALUE", ""),
        "an id that nobody has set": (
            foreign.transfer(transfer_id=bytes(16)),
            "BAD_FORM",
            "nobody has set it",
        ),
    }


@pytest.fixture
def workers(platform: Platform) -> Iterator[Program]:
    """Two supervised workers."""
    settings = {
        **platform.environment(),
        "BANK_INSTANCE": platform.name,
        "BANK_SESSION_TIMEOUT_MS": "2000",
        "BANK_UNKNOWN_SCHEMA_SECONDS": "1",
    }
    command = ["consumers.bank", "run", "--workers", "2"]
    with Program(command, settings, platform.logs / "supervisor.log") as bank:
        yield bank


def aside(platform: Platform) -> dict[tuple[int, int], tuple[str, str]]:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        rows = connection.execute(
            "SELECT partition, record_offset, reason, detail FROM quarantine"
        )
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def test_odd_records_stop_nobody_and_have_reasons(
    platform: Platform, workers: Program
) -> None:
    with Foreign(platform) as foreign:
        odd = records_of_odd_schemas(platform, foreign)
        odd |= records_of_odd_bytes(foreign)
        sent: list[Raw] = [foreign.transfer()]
        for record, _, _ in odd.values():
            sent += [record, foreign.transfer()]
        offsets = foreign.send(*sent, partition=PLACE)
        wrong_place = foreign.transfer()
        foreign.send(wrong_place, partition=(PLACE + 1) % 3)
    servers = platform.stack.endpoints.bootstrap_servers
    send_with_headers(servers, platform.topic, b"junk", [(b"\xff\xfe", b"1")])
    total = len(sent) + 2
    platform.wait_applied(total, timeout_seconds=120)

    found = aside(platform)
    said = {}
    for (name, (raw, _, _)), offset in zip(odd.items(), offsets[1::2], strict=True):
        reason, detail = found.get((PLACE, offset), ("", ""))
        said[name] = (reason or verdict(platform, id_of(raw)), detail)
    assert {name: outcome for name, (outcome, _) in said.items()} == {
        name: outcome for name, (_, outcome, _) in odd.items()
    }
    for name, (_, _, word) in odd.items():
        assert word in said[name][1], (name, said[name])
    good = [*sent[::2], wrong_place]
    assert {verdict(platform, id_of(raw)) for raw in good} == {POSTED}
    assert "worker died" not in workers.text
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    peek = ["consumers.console", "peek", platform.topic, "--from", "beginning"]
    log = platform.logs / "peek.log"
    with Program([*peek, "--no-follow"], platform.environment(), log) as console:
        assert console.process.wait(60) == 0, console.text
        assert console.text.count('"offset"') == total


def send_compressed(platform: Platform, count: int) -> None:
    """One batch of so many junk records of 60,000 bytes, by Java and zstd."""
    junk = b"".join(b"%d" % n + b"x" * 60_000 + b"\n" for n in range(count))
    tool = str(ROOT / "bin" / "kafka-console-producer")
    more = ["max.request.size=150000000", "linger.ms=4000"]
    large = ["--batch-size", "100000000", "--max-memory-bytes", "150000000"]
    command = [tool, "--topic", platform.topic, "--compression-codec", "zstd", *large]
    for each in more:
        command += ["--command-property", each]
    state = {STATE_DIR_VARIABLE: str(platform.stack.config.state_dir)}
    subprocess.run(command, input=junk, check=True, env={**os.environ, **state})


@pytest.mark.parametrize(
    "count", [1500, *(pytest.param(n, marks=pytest.mark.nightly) for n in (700, 1100))]
)
def test_a_batch_that_expands_a_hundredfold_is_worked_off(
    platform: Platform, count: int
) -> None:
    """Java leaves the plain size out; librdkafka stumbles over some (#5260)."""
    send_compressed(platform, count)
    line = transfer(1)
    emit(platform, line)
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(count + 1, timeout_seconds=120)
        assert "refused" not in bank.text
    assert verdict(platform, line.transfer_id) == POSTED


def test_a_batch_that_is_too_large_when_plain_stops_its_partition_alone(
    platform: Platform,
) -> None:
    send_compressed(platform, 100)
    payers = {partition_of(n): n for n in range(1, 99)}
    lines = {place: transfer(payer) for place, payer in payers.items()}
    emit(platform, *lines.values())
    small = {"fetch.max.bytes": "1100000", "receive.message.max.bytes": "1200000"}
    small["message.max.bytes"] = "1000000"
    with platform.bank(kafka=json.dumps(small), session_timeout_ms=2000) as bank:
        wait_until(
            lambda: sum(
                verdict(platform, line.transfer_id) == POSTED for line in lines.values()
            )
            == len(lines) - 1,
            what="the other partitions to go on",
            timeout_seconds=60,
        )
        wait_until(
            lambda: "cannot be decompressed" in bank.text,
            what="the batch to be refused",
            timeout_seconds=30,
        )
        assert "docs/runbooks/partition-refused.md" in bank.text
        ready = httpx.get(f"{health_url(bank.text)}/readyz")
        assert ready.status_code == 503 and "cannot be decompressed" in ready.text
        assert bank.process.poll() is None
