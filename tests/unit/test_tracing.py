"""Tracing: sampling that costs nothing, and context that survives a Kafka header."""

from __future__ import annotations

import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from once import names, tracing
from once.telemetry import Telemetry
from once.tracing import Sampler

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331
VALID = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def span(sampled: bool = True) -> NonRecordingSpan:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, False, flags))


def test_a_sampled_span_becomes_a_traceparent_header() -> None:
    assert tracing.inject(span()) == [("traceparent", VALID)]


def test_a_span_that_is_not_sampled_adds_no_header() -> None:
    assert tracing.inject(span(sampled=False)) == []
    assert tracing.inject(trace.INVALID_SPAN) == []


def test_a_header_gives_back_the_context_that_went_in() -> None:
    context = tracing.extract([("other", b"x"), *tracing.inject(span())])
    assert context is not None
    found = trace.get_current_span(context).get_span_context()
    assert (found.trace_id, found.span_id) == (TRACE_ID, SPAN_ID)
    assert found.is_remote and found.trace_flags.sampled


def test_a_header_given_as_text_is_read_too() -> None:
    assert tracing.extract([("traceparent", VALID.decode())]) is not None


@pytest.mark.parametrize("headers", [None, [], [("other", b"x")]])
def test_no_header_is_no_context(
    headers: list[tuple[str, str | bytes | None]] | None,
) -> None:
    assert tracing.extract(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        VALID[:-1],
        VALID + b"-extra",
        VALID.replace(b"00-", b"ff-", 1),
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"00-zzf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"x" * 100_000,
    ],
)
def test_a_malformed_traceparent_is_ignored(value: bytes | None) -> None:
    assert tracing.extract([("traceparent", value)]) is None


def test_a_malformed_tracestate_does_not_spoil_the_traceparent() -> None:
    headers = [("tracestate", b"\xff=,,=;"), ("traceparent", VALID)]
    assert tracing.extract(headers) is not None


def test_send_process_and_result_are_one_trace() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry.start("tester", "t-0", 1.0, span_exporter=exporter)
    tracer = telemetry.tracer
    sent = tracing.send_span(tracer, "orders", partition=3)
    context = tracing.extract(tracing.inject(sent))
    assert context is not None
    polled_ns = time.time_ns()
    processed = tracing.process_span(
        tracer,
        context,
        topic="orders",
        group="appliers",
        partition=3,
        offset=42,
        start_ns=polled_ns,
    )
    result = tracing.result_span(tracer, processed, "results")
    tracing.end_all([result, processed, sent])
    by_name = {done.name: done for done in exporter.get_finished_spans()}
    assert set(by_name) == {"send orders", "process orders", "send results"}
    assert len({done.context.trace_id for done in by_name.values()}) == 1
    middle = by_name["process orders"]
    assert middle.parent is not None and by_name["send results"].parent is not None
    assert middle.parent.span_id == sent.get_span_context().span_id
    assert by_name["send results"].parent.span_id == middle.context.span_id
    assert middle.start_time == polled_ns
    assert middle.attributes is not None
    assert middle.attributes[names.MESSAGING_OFFSET] == 42
    assert middle.attributes[names.MESSAGING_PARTITION] == "3"
    telemetry.shutdown()


def test_a_ratio_of_zero_never_samples_and_of_one_always() -> None:
    never, always = Sampler(0.0), Sampler(1.0)
    assert not any(never.hit() for _ in range(1_000))
    assert never.pick(1_000) == []
    assert all(always.hit() for _ in range(1_000))
    assert always.pick(5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="0..1"):
        Sampler(ratio)


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.3, 0.9])
def test_about_the_asked_share_of_records_is_sampled(ratio: float) -> None:
    picked = len(Sampler(ratio, seed=7).pick(200_000))
    deviation = (200_000 * ratio * (1 - ratio)) ** 0.5
    assert abs(picked - 200_000 * ratio) < 5 * deviation


def test_batches_and_single_records_choose_alike() -> None:
    one, two, three = (Sampler(0.1, seed=7) for _ in range(3))
    single = [index for index in range(1_000) if one.hit()]
    assert two.pick(1_000) == single
    sizes = (1, 0, 99, 400, 500)
    offsets = [sum(sizes[:n]) for n in range(len(sizes))]
    chunks = [
        offset + index
        for offset, size in zip(offsets, sizes, strict=True)
        for index in three.pick(size)
    ]
    assert chunks == single


def test_picking_from_a_batch_costs_next_to_nothing() -> None:
    sampler = Sampler(0.01, seed=7)
    costs = []
    for _ in range(10):
        started = time.thread_time()
        sampler.pick(10_000)
        costs.append(time.thread_time() - started)
    assert min(costs) < 0.001  # 0.1 us a record
