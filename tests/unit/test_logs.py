"""Logs: the same fields on every line, whoever wrote it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from once import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_a_line_is_json_with_the_fields_that_searches_use() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", stream=stream)
    logs.get("tests.here").info("batch applied", records=3)
    (line,) = parsed(stream)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "level": "info",
        "event": "batch applied",
        "logger": "tests.here",
        "service": "bank",
        "instance": "bank-1",
        "records": 3,
    }


def test_on_a_terminal_a_line_is_for_people() -> None:
    stream = Terminal()
    logs.configure("bank", "bank-1", stream=stream)
    logs.get("here").warning("broker away", broker=2)
    text = stream.getvalue()
    assert "broker away" in text and not text.startswith("{")


def test_json_can_be_asked_for_on_a_terminal() -> None:
    stream = Terminal()
    logs.configure("bank", "bank-1", as_json=True, stream=stream)
    logs.get("here").info("hello")
    assert parsed(stream)[0]["event"] == "hello"


def test_the_standard_librarys_lines_have_the_same_fields() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", stream=stream)
    logging.getLogger("client").error("no %s", "route", extra={"peer": "b-2"})
    (line,) = parsed(stream)
    assert line["event"] == "no route" and line["level"] == "error"
    assert line["service"] == "bank" and line["instance"] == "bank-1"
    assert line["logger"] == "client" and line["peer"] == "b-2"


def test_lines_below_the_level_are_dropped_from_both_sides() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", level="warning", stream=stream)
    logs.get("here").info("quiet")
    logging.getLogger("client").info("quiet")
    logs.get("here").error("loud")
    assert [line["event"] for line in parsed(stream)] == ["loud"]


def test_a_logger_made_before_the_set_up_follows_it() -> None:
    early = logs.get("early")
    stream = io.StringIO()
    logs.configure("bank", "bank-1", stream=stream)
    early.info("hello")
    assert parsed(stream)[0]["logger"] == "early"


def test_setting_up_again_does_not_double_the_lines() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("bank", "bank-1", stream=first)
    logs.configure("bank", "bank-2", stream=second)
    logs.get("here").info("hello")
    assert first.getvalue() == ""
    assert [line["instance"] for line in parsed(second)] == ["bank-2"]


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", stream=stream)
    try:
        raise ValueError("bad bytes")
    except ValueError:
        logs.get("here").exception("cannot decode")
    (line,) = parsed(stream)
    assert "ValueError: bad bytes" in line["exception"]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    logs.configure("bank", "bank-1", stream=stream)
    told_nobody = "hunter" + str(2)
    try:
        raise ValueError("bad bytes")
    except ValueError:
        logs.get("here").exception("cannot decode")
        logging.getLogger("client").exception("cannot send")
    assert stream.getvalue().count("ValueError: bad bytes") == 2
    assert told_nobody not in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_no_line_shows_a_password(stream: io.StringIO) -> None:
    logs.configure("bank", "bank-1", stream=stream)
    log, url = logs.get("here"), "http://svc:hunter2@registry/x"
    log.info(f"asking {url}", settings={"sasl.password": "hunter2"}, urls=[url])
    log.info("conninfo", conninfo="host=a password='hunter2' user=b")
    log.info("it", password="hunter2", error=ValueError("password=hunter2"))
    logging.getLogger("client").warning("no route to %s", url)
    try:
        raise ValueError(f"{url} is away")
    except ValueError:
        log.exception("cannot ask")
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("http://***@registry/x") >= 4
    assert "user=b" in stream.getvalue()


def test_a_terminal_obeys_nothing_that_is_logged() -> None:
    stream = Terminal()
    logs.configure("bank", "bank-1", stream=stream)
    evil = "\x1b]0;owned\x07\r\n\u202e"
    logs.get("here").info(f"memo {evil}", memo=evil)
    try:
        raise ValueError(evil)
    except ValueError:
        logs.get("here").exception("refused")
    for control in ("\x1b]", "\x07", "\r", "\u202e"):
        assert control not in stream.getvalue()
    assert r"\x1b]0;owned\x07\r\n\u202e" in stream.getvalue()


def test_clients_that_log_every_request_are_quiet() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", level="debug", stream=stream)
    logging.getLogger("httpx").info("HTTP Request: GET http://registry")
    logging.getLogger("httpx").warning("odd")
    assert [line["event"] for line in parsed(stream)] == ["odd"]


def test_a_line_inside_a_span_carries_its_ids() -> None:
    stream = io.StringIO()
    logs.configure("bank", "bank-1", stream=stream)
    context = SpanContext(0xABC, 0xDEF, False, TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(context)):
        logs.get("here").info("inside")
    logs.get("here").info("outside")
    inside, outside = parsed(stream)
    assert inside["trace_id"] == "0" * 29 + "abc"
    assert inside["span_id"] == "0" * 13 + "def"
    assert "trace_id" not in outside


def test_an_unknown_level_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match="'loud'; use debug"):
        logs.configure("bank", "bank-1", level="loud")
