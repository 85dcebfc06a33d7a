"""Peek without Kafka: states told from two readers, and records made fit to be seen."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from consumers.console import __main__ as cli
from consumers.console.peek import Start, start_offset
from consumers.console.show import json_line, pretty, safe, shown
from consumers.console.states import PartitionStates, Sighting, State
from consumers.console.values import ASK_AGAIN_SECONDS, Decoded, ValueDecoder, readable
from once.errors import Defect
from once.registry import Registry, frame
from once.settings import SECRETS_DIR
from tests.contract.golden import FOLDER, SCHEMA_ID, all_golden, golden
from tests.contract.registry_server import Schema, serving


def seen(sightings: Iterator[Sighting[str]]) -> list[tuple[str, State, bool]]:
    return [(s.record, s.state, s.again) for s in sightings]


def test_what_the_committed_reader_passes_over_was_aborted() -> None:
    states = PartitionStates[str](0)
    for offset, record in enumerate("abc"):
        states.read(offset, record, now_seconds=0)
    states.committed(1)
    assert seen(states.decided()) == [
        ("a", State.ABORTED, False),
        ("b", State.COMMITTED, False),
    ]
    states.passed_up_to(3)
    assert seen(states.decided()) == [("c", State.ABORTED, False)]
    assert states.waiting_count == states.ahead_count == 0


def test_the_committed_reader_may_be_the_first() -> None:
    states = PartitionStates[str](0)
    states.committed(1)
    assert states.ahead_count == 1
    states.read(0, "a", 0)
    states.read(1, "b", 0)
    assert [s.state for s in states.decided()] == [State.ABORTED, State.COMMITTED]


def test_an_open_record_is_shown_once_as_open_and_again_when_it_is_decided() -> None:
    states = PartitionStates[str](7)
    states.read(7, "a", now_seconds=1)
    assert seen(states.open_at(7, since_seconds=0.5)) == []  # waits not long enough
    assert states.unshown_since_seconds == 1
    assert seen(states.open_at(7, since_seconds=1)) == [("a", State.OPEN, False)]
    assert seen(states.open_at(7, since_seconds=9)) == []
    assert states.unshown_since_seconds is None
    states.committed(7)
    assert seen(states.decided()) == [("a", State.COMMITTED, True)]


def test_none_is_shown_as_open_before_an_earlier_one_is_decided() -> None:
    states = PartitionStates[str](0)
    states.read(0, "a", 0)
    states.read(1, "b", 0)
    assert seen(states.open_at(1, since_seconds=0)) == []
    states.committed(0)
    assert seen(states.decided()) == [("a", State.COMMITTED, False)]
    assert seen(states.open_at(1, since_seconds=0)) == [("b", State.OPEN, False)]


def test_a_bounded_run_is_complete_when_all_before_its_end_was_shown() -> None:
    states = PartitionStates[str](0, end=3)
    states.read(0, "a", 0)
    states.read(2, "b", 0)
    states.read(3, "later", 0)
    assert states.read_to_end and not states.complete
    states.committed(0)
    states.committed(3)
    assert seen(states.decided()) == [
        ("a", State.COMMITTED, False),
        ("b", State.ABORTED, False),
    ]
    assert states.complete and states.ahead_count == 0


def test_nothing_is_shown_twice_when_a_reader_goes_back() -> None:
    states = PartitionStates[str](0)
    for _ in range(2):
        states.read(0, "a", 0)
        states.committed(0)
    assert seen(states.decided()) == [("a", State.COMMITTED, False)]
    assert states.ahead_count == 0


@given(st.lists(st.tuples(st.booleans(), st.booleans())), st.data())
def test_every_record_gets_its_own_state_however_the_readers_take_turns(
    log: list[tuple[bool, bool]], data: st.DataObject
) -> None:
    """`log`: by offset, whether a record is there (or a marker) and is committed."""
    states = PartitionStates[int](0, end=len(log))
    found: list[tuple[int, State]] = []
    ahead = behind = 0
    while ahead < len(log) or behind < len(log):
        if behind == len(log) or (ahead < len(log) and data.draw(st.booleans())):
            if log[ahead][0]:
                states.read(ahead, ahead, 0)
            ahead += 1
        else:
            if log[behind] == (True, True):
                states.committed(behind)
            behind += 1
        found += [(s.record, s.state) for s in states.decided()]
    states.read_up_to(len(log))
    states.passed_up_to(len(log))
    found += [(s.record, s.state) for s in states.decided()]
    assert found == [
        (offset, State.COMMITTED if committed else State.ABORTED)
        for offset, (is_record, committed) in enumerate(log)
        if is_record
    ]
    assert states.complete


@pytest.mark.parametrize(
    ("start", "offset"),
    [("beginning", 10), ("end", 50), (30, 30), (3, 10), (70, 50), (-5, 45), (-99, 10)],
)
def test_a_start_is_always_inside_the_log(start: Start, offset: int) -> None:
    assert start_offset(start, first=10, end=50) == offset


# -- values ---------------------------------------------------------------------------

UUID_TEXT = "5a1f2e3d-4c5b-4a69-8788-97a6b5c4d3e2"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"4711", "4711"),
        (b"", ""),
        ("Grüße".encode(), "Grüße"),
        (bytes.fromhex(UUID_TEXT.replace("-", "")), UUID_TEXT),
        (bytes(16), "00000000-0000-0000-0000-000000000000"),
        (b"\x1b[2J", "0x1b5b324a"),
        (b"\xff\x00", "0xff00"),
    ],
)
def test_octets_are_shown_as_text_uuid_or_hexadecimal(octets: bytes, text: str) -> None:
    assert readable(octets) == text


def decode(schema: Schema, value: bytes | None, schema_id: int = 1) -> Decoded:
    with serving({schema_id: schema}) as url:
        registry = Registry(url)
        try:
            return ValueDecoder(registry).decode(value)
        finally:
            registry.close()


@pytest.mark.parametrize(
    "one",
    [*all_golden("transfer"), *all_golden("transfer-results")],
    ids=lambda one: one.name,
)
def test_a_golden_record_is_shown_as_it_is_described(one: Any) -> None:
    described = json.loads((FOLDER / f"{one.name}.json").read_text(encoding="utf-8"))
    decoded = decode(one.schema, one.framed)
    assert decoded.content == described["value"]
    assert decoded.schema_id == SCHEMA_ID
    assert decoded.reason == ""


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    out.write(frame(1))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "value", "content"),
    [
        ("bytes", b"EUR", "0x455552"),
        ("double", float("inf"), "inf"),
        ("boolean", True, True),
        ({"type": "map", "values": "bytes"}, {"a": b"\x01"}, {"a": "0x01"}),
        (["null", {"type": "array", "items": "bytes"}], [b"\x01"], ["0x01"]),
        (["null", {"type": "map", "values": "int"}], None, None),
        ({"type": "long", "logicalType": "timestamp-millis"}, 0, "1970-01-01 00:00:0"),
        ({"type": "fixed", "name": "x.Currency", "size": 3}, b"\x1b[m", "0x1b5b6d"),
        ({"type": "fixed", "name": "Other", "size": 16}, bytes(16), "0x" + "00" * 16),
        (["null", {"type": "fixed", "name": "Uuid", "size": 16}], b"a" * 16, "6161616"),
    ],
)
def test_schemas_of_others_are_shown_as_plain_data(
    kind: Any, value: Any, content: Any
) -> None:
    schema = {
        "type": "record",
        "name": "Foreign",
        "fields": [{"name": "it", "type": kind}],
    }
    got = decode(schema, encoded(schema, {"it": value})).content["it"]
    assert got == content or (isinstance(got, str) and got.startswith(content))
    json.dumps(got, allow_nan=False)


TYPICAL = golden("transfer-typical")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "no value"),
        (b"", "not framed"),
        (b'{"amount": 1}', "not framed"),
        (b"\x00\x00\x00\x00\x02abc", "schema id 2 is not in"),
        (TYPICAL.framed[:-1], "not of its schema"),
        (TYPICAL.framed + b"\x00", "1 bytes too many"),
    ],
)
def test_what_cannot_be_decoded_keeps_its_octets_and_a_reason(
    value: bytes | None, why: str
) -> None:
    decoded = decode(TYPICAL.schema, value)
    assert why in decoded.reason
    assert decoded.octets == value
    assert decoded.content is None


@pytest.mark.parametrize("schema", ['syntax = "proto3";', '{"type": "reccord"}'])
def test_a_schema_that_is_not_avro_is_a_reason_too(schema: str) -> None:
    assert "is no Avro schema" in decode(schema, TYPICAL.framed).reason


def test_a_registry_that_is_away_is_asked_again_only_after_a_while(
    unused_port: int,
) -> None:
    now = [0.0]
    registry = Registry(f"http://127.0.0.1:{unused_port}")
    decoder = ValueDecoder(registry, clock=lambda: now[0])
    first = decoder.decode(TYPICAL.framed)
    assert "ConnectError" in first.reason and first.octets == TYPICAL.framed
    registry.close()  # whoever asks it now gets an exception of another kind
    assert decoder.decode(TYPICAL.framed) == first
    now[0] = ASK_AGAIN_SECONDS
    assert decoder.decode(TYPICAL.framed) != first


# -- showing --------------------------------------------------------------------------


class Fixed(ValueDecoder):
    """Decodes everything to one content."""

    def __init__(self, content: Any, reason: str = "") -> None:
        self._answer = Decoded(b"\x1b", 1, "once.Thing", content, reason)

    def decode(self, value: bytes | None) -> Decoded:
        return self._answer


def message(**parts: Any) -> Message:
    known = {"topic": "transfers", "partition": 2, "offset": 17, "timestamp": (1, 1)}
    return Message(**{**known, **parts})


def lines(of: Message, decoder: ValueDecoder, state: State = State.OPEN) -> str:
    """As a terminal gets it, colours taken away by the library that made them."""
    out = io.StringIO()
    Console(file=out, soft_wrap=True, highlight=False).print(
        pretty(shown(Sighting(of, state), decoder))
    )
    return out.getvalue()


def test_a_record_is_one_json_object() -> None:
    record = message(key=b"42", headers=[("a", b"1"), ("a", None)], timestamp=(1, 5123))
    decoder = Fixed({"memo": "x"})
    line = json_line(shown(Sighting(record, State.COMMITTED, again=True), decoder))
    assert json.loads(line) == {
        "topic": "transfers",
        "partition": 2,
        "offset": 17,
        "timestamp": "1970-01-01T00:00:05.123Z",
        "state": "committed",
        "again": True,
        "key": "42",
        "headers": [["a", "1"], ["a", None]],
        "schema_id": 1,
        "schema": "once.Thing",
        "value": {"memo": "x"},
    }


def test_an_undecodable_record_is_shown_in_hexadecimal_with_the_reason() -> None:
    decoder = Fixed(None, reason="bad bytes")
    line = json.loads(json_line(shown(Sighting(message(), State.ABORTED), decoder)))
    assert (line["value"], line["value_hex"], line["reason"]) == (
        None,
        "1b",
        "bad bytes",
    )
    text = lines(message(), decoder, State.ABORTED)
    assert "aborted" in text and "bad bytes" in text and "0x1b  (1 bytes)" in text


def test_a_terminal_shows_the_first_items_of_a_long_array() -> None:
    items = [{"offset": n, "verdict": "POSTED"} for n in range(4_000)]
    text = lines(message(key=bytes(16)), Fixed({"results": items}))
    assert "transfers [2] 17" in text and "open" in text
    assert "4000 items" in text and "and 3990 more" in text
    assert "offset 9  verdict POSTED" in text and "offset 10 " not in text


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        ((0, -1), None),
        ((1, 0), "1970-01-01T00:00:00.000Z"),
        ((2, 1_767_225_600_123), "2026-01-01T00:00:00.123Z"),
        ((1, -5), "-5 ms"),
        ((1, 2**62), f"{2**62} ms"),
    ],
)
def test_a_timestamp_is_utc_to_the_millisecond(
    timestamp: tuple[int, int], text: str | None
) -> None:
    record = message(timestamp=timestamp)
    assert shown(Sighting(record, State.OPEN), Fixed(None)).timestamp == text


def test_what_moves_a_cursor_or_turns_a_text_is_escaped() -> None:
    assert safe("a\x1b[31m\r\n\u202e\x9b\u2028b") == (r"a\x1b[31m\r\n\u202e\x9b\u2028b")
    assert safe("Grüße 房租 🏠 [bold]") == "Grüße 房租 🏠 [bold]"


nasty = st.text(
    st.sampled_from("a[]m;\\:") | st.characters(categories=["Cc", "Cf", "Zl", "Zp"]),
    min_size=1,
)


@given(nasty, nasty, nasty)
def test_nothing_unprintable_reaches_a_terminal_raw(a: str, b: str, c: str) -> None:
    record = message(key=a.encode(), headers=[(b, c.encode()), ("s", a)])
    content = {a: b, "map": {b: [c, [a], {b: {c: a}}, {a: c}]}}
    for decoder in (Fixed(content), Fixed(a), Fixed([b]), Fixed(None, reason=c)):
        text = lines(record, decoder)
        assert text.replace("\n", "").isprintable(), ascii(text)
        line = json_line(shown(Sighting(record, State.OPEN), decoder))
        assert line.isascii() and line.isprintable()


# -- the command ----------------------------------------------------------------------


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEEK_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("PEEK_REGISTRY_URL", raising=False)


@pytest.mark.usefixtures("no_settings")
def test_missing_settings_are_named_in_one_sentence() -> None:
    done = CliRunner().invoke(cli.app, ["peek", "transfers"])
    assert isinstance(done.exception, Defect)
    assert "PEEK_BOOTSTRAP_SERVERS, PEEK_REGISTRY_URL; see" in str(done.exception)


@pytest.mark.usefixtures("no_settings")
def test_settings_may_lie_in_the_folder_of_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
    (tmp_path / "peek_bootstrap_servers").write_text("127.0.0.1:9")
    (tmp_path / "peek_registry_url").write_text("http://127.0.0.1:9")
    (tmp_path / "peek_kafka").write_text('{"ssl.ca.locatoin": "/x"}')
    done = CliRunner().invoke(cli.app, ["peek", "transfers"])
    assert isinstance(done.exception, Defect)
    assert "No such configuration property" in str(done.exception)


@pytest.mark.usefixtures("no_settings")
def test_a_start_that_is_none_is_refused() -> None:
    done = CliRunner().invoke(cli.app, ["peek", "transfers", "--from", "yesterday"])
    assert done.exit_code == 2
    assert "neither beginning, end nor an offset" in " ".join(done.stderr.split())
