"""A record as one line of JSON, or as text for a terminal.

Records are written by others: nothing in them may move a cursor, change a colour or
turn the direction of writing. JSON lines are printable ASCII; texts for a terminal have
every unprintable character escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message
from rich.text import Text

from consumers.console.states import Sighting, State
from consumers.console.values import Decoded, ValueDecoder, readable
from once.headers import headers_of
from once.redact import printable

ITEMS_SHOWN_MAX = 10  # of an array, on a terminal
HEX_SHOWN_MAX = 256  # digits, on a terminal
YEAR_10000_MS = 253_402_300_800_000

_STYLES = {State.COMMITTED: "green", State.ABORTED: "red", State.OPEN: "yellow"}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is shown of one record; texts are as they came."""

    topic: str
    partition: int
    offset: int
    timestamp: str | None
    state: State
    again: bool
    key: str | None
    headers: list[tuple[str, str | None]]
    value: Decoded


def shown(sighting: Sighting[Message], decoder: ValueDecoder) -> Shown:
    """What to show of a record."""
    message = sighting.record
    key = message.key()
    return Shown(
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        timestamp=_time(*message.timestamp()),
        state=sighting.state,
        again=sighting.again,
        key=None if key is None else readable(key),
        headers=[(name, _header(value)) for name, value in headers_of(message)],
        value=decoder.decode(message.value()),
    )


def json_line(of: Shown) -> str:
    """One JSON object in printable ASCII, without the end of the line."""
    line: dict[str, Any] = {
        "topic": of.topic,
        "partition": of.partition,
        "offset": of.offset,
        "timestamp": of.timestamp,
        "state": of.state,
        "again": of.again,
        "key": of.key,
        "headers": of.headers,
        "schema_id": of.value.schema_id,
        "schema": of.value.schema_name or None,
        "value": of.value.content,
    }
    if of.value.reason:
        octets = of.value.octets
        line["value_hex"] = None if octets is None else octets.hex()
        line["reason"] = of.value.reason
    return json.dumps(line, ensure_ascii=True, allow_nan=False)


def pretty(of: Shown) -> Text:
    """Several lines for a person at a terminal; without markup, safe to print."""
    head = Text.assemble(
        (safe(f"{of.topic} [{of.partition}] {of.offset}"), "bold"),
        ("  ", ""),
        (of.timestamp or "no timestamp", "dim"),
        ("  ", ""),
        (of.state, _STYLES[of.state]),
        (" (was open)" if of.again else "", "dim"),
    )
    lines = [head, _line(1, "key", "none" if of.key is None else of.key)]
    for name, value in of.headers:
        lines.append(_line(1, f"header {name}", "none" if value is None else value))
    lines.extend(_value_lines(of.value))
    return Text("\n").join(lines)


def safe(text: str) -> str:
    """The text with everything unprintable (controls, directions) escaped."""
    return printable(text)


def _value_lines(value: Decoded) -> Iterator[Text]:
    if value.reason:
        yield _line(1, "not decoded", value.reason, "red")
        if value.octets is not None:
            digits = value.octets.hex()
            more = "..." if len(digits) > HEX_SHOWN_MAX else ""
            size = f"  ({len(value.octets)} bytes)"
            yield _line(1, "value", f"0x{digits[:HEX_SHOWN_MAX]}{more}{size}")
        return
    yield _line(1, "value", f"{value.schema_name}, schema {value.schema_id}", "dim")
    if isinstance(value.content, dict):
        for name, field in value.content.items():
            yield from _field_lines(2, name, field)
    else:
        yield from _field_lines(2, "", value.content)


def _field_lines(depth: int, name: str, value: Any) -> Iterator[Text]:
    if isinstance(value, list):
        items = "item" if len(value) == 1 else "items"
        yield _line(depth, name, f"{len(value)} {items}", "dim")
        for item in value[:ITEMS_SHOWN_MAX]:
            yield from _item_lines(depth + 1, item)
        if len(value) > ITEMS_SHOWN_MAX:
            more = f"and {len(value) - ITEMS_SHOWN_MAX} more"
            yield _line(depth + 1, "...", more, "dim")
    elif isinstance(value, dict):
        yield _line(depth, name, "")
        for inner, field in value.items():
            yield from _field_lines(depth + 1, inner, field)
    else:
        yield _line(depth, name, "null" if value is None else str(value))


def _item_lines(depth: int, item: Any) -> Iterator[Text]:
    """An item of an array: on one line when it is flat."""
    if isinstance(item, dict) and not any(
        isinstance(field, dict | list) for field in item.values()
    ):
        flat = "  ".join(f"{name} {field}" for name, field in item.items())
        yield _line(depth, "-", flat)
    else:
        yield from _field_lines(depth, "-", item)


def _line(depth: int, name: str, value: str, style: str = "") -> Text:
    width = max(1, 20 - 2 * depth)
    return Text.assemble(
        ("  " * depth, ""), (f"{safe(name):<{width}} ", "cyan"), (safe(value), style)
    )


def _header(value: bytes | None) -> str | None:
    return None if value is None else readable(value)


def _time(kind: int, since_1970_ms: int) -> str | None:
    """A record's timestamp in UTC with its milliseconds; a number if it is no date."""
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return None
    if not 0 <= since_1970_ms < YEAR_10000_MS:
        return f"{since_1970_ms} ms"
    at = datetime.fromtimestamp(since_1970_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{since_1970_ms % 1000:03d}Z"
