"""Logs: pretty on a terminal, one JSON object per line everywhere else, to stderr.

Standard output belongs to what a program answers; logs never mix with it. The standard
library's logging (clients, servers) goes through the same processors, so that every
line has the same fields: timestamp (UTC, ISO 8601), level, event, logger, service,
instance, and trace_id and span_id while a span is current.

No line shows a password: not in what is logged, not in a traceback, which is without
local variables. On a terminal nothing that came from outside is obeyed as a control.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from once.redact import HIDDEN, is_secret, printable, redacted

# They log every request, with its address, for nobody.
TALKATIVE = ("httpx", "httpcore")
# What is made of several lines.
_TRACES = ("exception", "stack")


def configure(
    service: str,
    instance: str,
    level: str = "info",
    as_json: bool | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up logging of this process; called once by its composition root.

    `as_json` None decides by whether `stream` (default: stderr) is a terminal. Calling
    it again replaces the set-up, it never doubles the lines.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no such log level: {level!r}; use debug, info or warning")
    stream = sys.stderr if stream is None else stream
    shared = _shared(service, instance)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Not cached: a module's logger made before this call must follow it.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(shared, stream, as_json))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: ``log = logs.get(__name__)``; free of set-up."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _shared(service: str, instance: str) -> list[Processor]:
    def add_origin(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["instance"] = instance
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
        add_origin,
        add_trace,
    ]


def add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, in the hex that trace viewers search for."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _formatter(
    shared: list[Processor], stream: TextIO, as_json: bool | None
) -> logging.Formatter:
    if as_json is None:
        as_json = not stream.isatty()
    rendering: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _redact,
    ]
    if as_json:
        rendering.append(structlog.processors.JSONRenderer())
    else:
        rendering.append(_escape)
        rendering.append(
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                # The one that is formatted already, and the one without locals.
                exception_formatter=structlog.dev.plain_traceback,
            )
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=rendering,
    )


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Take passwords out of every value, however deep."""
    return {
        key: HIDDEN if is_secret(str(key)) else _clean(value)
        for key, value in event.items()
    }


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return _redact(None, "", dict(value))
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(each) for each in value]
    return redacted(repr(value))


def _escape(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Show controls of a terminal instead of sending them to it."""
    return {
        key: (
            printable(value, kept="\n" if key in _TRACES else "")
            if isinstance(value, str)
            else value
        )
        for key, value in event.items()
    }
