"""Traces of a few sampled records: W3C context in a Kafka header, and the sampling.

A record that is not sampled has no header, no span and costs a decrement. A record
that is sampled carries ``traceparent``, which ties the sender's span, the span of
whoever applies it and the span of its result into one trace.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from once import names

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

Headers = Iterable[tuple[str, str | bytes | None]]

_W3C = TraceContextTextMapPropagator()


class Sampler:
    """Chooses each record with probability `ratio`, by drawing the gap to the next one.

    One random number per *chosen* record instead of one per record, so the others
    cost next to nothing. With a seed the choice is the same in every run.
    """

    def __init__(self, ratio: float, seed: int | None = None) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"a sampling ratio lies in 0..1, not {ratio}")
        self.ratio = ratio
        self._random = random.Random(seed)
        self._skip = self._gap()

    def hit(self) -> bool:
        """Say whether the next record is sampled."""
        if self._skip > 0:
            self._skip -= 1
            return False
        if self.ratio == 0.0:
            return False
        self._skip = self._gap()
        return True

    def pick(self, count: int) -> list[int]:
        """Which of the next `count` records are sampled, as ascending indexes.

        The cheap form for a batch: no work at all for the records in between.
        """
        picked: list[int] = []
        if self.ratio == 0.0:
            return picked
        index = self._skip
        while index < count:
            picked.append(index)
            index += 1 + self._gap()
        self._skip = index - count
        return picked

    def _gap(self) -> int:
        """Draw how many records to pass over: geometric, mean ``1/ratio - 1``."""
        if self.ratio in (0.0, 1.0):
            return 0
        drawn = math.log(1.0 - self._random.random()) / math.log(1.0 - self.ratio)
        return int(drawn)


def inject(span: Span) -> list[tuple[str, bytes]]:
    """The Kafka headers that carry `span` to whoever reads the record.

    An empty list for a span that records nothing: no header is cheaper than one that
    says "not sampled".
    """
    context = span.get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return []
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return [(name, value.encode("ascii")) for name, value in carrier.items()]


def extract(headers: Headers | None) -> Context | None:
    """The sender's trace context, or None if there is none that makes sense.

    Headers come from outside: one that is malformed, not ASCII or null is ignored and
    the record simply has no trace.
    """
    if not headers:
        return None
    carrier: dict[str, str] = {}
    for name, value in headers:
        if value is not None and name in (TRACEPARENT, TRACESTATE):
            # Bytes that are not ASCII become U+FFFD, which no valid value contains.
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            carrier.setdefault(name, text)
    if TRACEPARENT not in carrier:
        return None
    context = _W3C.extract(carrier, Context())
    if not trace.get_current_span(context).get_span_context().is_valid:
        return None
    return context


def send_span(
    tracer: Tracer, topic: str, partition: int, start_ns: int | None = None
) -> Span:
    """Start the span of sending one sampled record; end it when acknowledged."""
    return tracer.start_span(
        names.span_name(names.SEND, topic),
        # An empty context: a record starts its own trace, whatever span is current.
        context=Context(),
        kind=SpanKind.PRODUCER,
        attributes=_attributes(names.SEND, topic, partition),
        start_time=start_ns,
    )


def process_span(
    tracer: Tracer,
    parent: Context,
    *,
    topic: str,
    group: str,
    partition: int,
    offset: int,
    start_ns: int | None = None,
) -> Span:
    """Start the span of applying one sampled record; end it after the commit.

    `start_ns` is when its batch was polled (Unix time in ns), so that the span shows
    the whole stay here although it is made only once the record's header was seen.
    """
    attributes = _attributes(names.PROCESS, topic, partition)
    attributes[names.MESSAGING_GROUP] = group
    attributes[names.MESSAGING_OFFSET] = offset
    return tracer.start_span(
        names.span_name(names.PROCESS, topic),
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        start_time=start_ns,
    )


def result_span(
    tracer: Tracer, processed: Span, topic: str, start_ns: int | None = None
) -> Span:
    """Start the span of publishing the result of a record, under its process span."""
    return tracer.start_span(
        names.span_name(names.SEND, topic),
        context=trace.set_span_in_context(processed, Context()),
        kind=SpanKind.PRODUCER,
        attributes=_attributes(names.SEND, topic, None),
        start_time=start_ns,
    )


def end_all(spans: Sequence[Span], end_ns: int | None = None) -> None:
    """End the spans of one batch at the same moment."""
    for span in spans:
        span.end(end_ns)


def _attributes(
    operation: str, topic: str, partition: int | None
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.MESSAGING_SYSTEM: names.KAFKA,
        names.MESSAGING_DESTINATION: topic,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_OPERATION_TYPE: operation,
    }
    if partition is not None:
        attributes[names.MESSAGING_PARTITION] = str(partition)
    return attributes
