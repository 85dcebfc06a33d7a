"""Metrics and traces of one process, built once in its composition root.

::

    telemetry = Telemetry.start("bank", "bank-0", otlp_endpoint=settings.otlp_endpoint)
    metrics = ApplyMetrics(telemetry, ...)      # once/metrics.py
    HealthServer(..., scrape=telemetry.scrape)  # serves it as /metrics
    ...
    telemetry.shutdown()

Nothing here touches OpenTelemetry's or Prometheus's process-wide providers: two
`Telemetry` objects in one process (as in tests) do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import NoOpTracer, Tracer
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from once import loopback, names
from once.tracing import Sampler

SCRAPE_CONTENT_TYPE = CONTENT_TYPE_LATEST

# A collector that is down must not hold up a shutdown or pile up spans for long.
OTLP_TIMEOUT_SECONDS = 3


@dataclass(frozen=True)
class Telemetry:
    """The meter, tracer and sampler of one process, and its Prometheus page.

    `sampler` says which records deserve a span; it never hits while `traces_enabled`
    is false, so callers need only ask the sampler.
    """

    service: str
    instance: str
    meter: Meter
    tracer: Tracer
    sampler: Sampler
    traces_enabled: bool
    _registry: CollectorRegistry
    _meters: MeterProvider
    _tracers: TracerProvider | None

    @classmethod
    def start(
        cls,
        service: str,
        instance: str,
        trace_ratio: float = 0.01,
        otlp_endpoint: str | None = None,
        *,
        span_exporter: SpanExporter | None = None,
        metrics: bool = True,
    ) -> Self:
        """Build metrics, and traces if there is somewhere to send them.

        `otlp_endpoint` is the base address of a collector (OTLP over HTTP), e.g.
        ``http://collector:4318``. `span_exporter` takes its place in tests: spans are
        handed to it as they end, without a thread. Without `metrics` none are kept.
        """
        resource = Resource.create(
            {names.SERVICE_NAME: service, names.SERVICE_INSTANCE_ID: instance}
        )
        registry = CollectorRegistry()
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
        meters = MeterProvider(
            metric_readers=[reader],
            resource=resource,
            # Exemplars would look at the current span on every measurement.
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        tracers = _tracers(resource, otlp_endpoint, span_exporter)
        enabled = tracers is not None and trace_ratio > 0
        return cls(
            service=service,
            instance=instance,
            meter=(meters if metrics else NoOpMeterProvider()).get_meter(names.SCOPE),
            tracer=tracers.get_tracer(names.SCOPE) if tracers else NoOpTracer(),
            sampler=Sampler(trace_ratio if enabled else 0.0),
            traces_enabled=tracers is not None,
            _registry=registry,
            _meters=meters,
            _tracers=tracers,
        )

    @property
    def registry(self) -> CollectorRegistry:
        """Where what is measured too often for OpenTelemetry may be registered."""
        return self._registry

    def scrape(self) -> bytes:
        """All metrics as Prometheus text. Safe from any thread."""
        return generate_latest(self._registry)

    def shutdown(self) -> None:
        """Flush spans that wait and stop the exporter's thread."""
        if self._tracers is not None:
            self._tracers.shutdown()
        self._meters.shutdown()


def _tracers(
    resource: Resource, endpoint: str | None, exporter: SpanExporter | None
) -> TracerProvider | None:
    processor = _processor(endpoint, exporter)
    if processor is None:
        return None
    # Our Sampler has already chosen the records, so a span without a parent is always
    # wanted; a remote parent that was not sampled is obeyed.
    tracers = TracerProvider(
        sampler=ParentBased(ALWAYS_ON), resource=resource, shutdown_on_exit=False
    )
    tracers.add_span_processor(processor)
    return tracers


def _processor(
    endpoint: str | None, exporter: SpanExporter | None
) -> SpanProcessor | None:
    if exporter is not None:
        return SimpleSpanProcessor(exporter)
    if not endpoint:
        return None
    # Imported here: it takes 0.1 s, and most processes have no collector.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint.rstrip("/")
    if not url.endswith("/v1/traces"):
        url += "/v1/traces"
    if loopback.is_loopback(url):
        loopback.spare()
    return BatchSpanProcessor(
        OTLPSpanExporter(endpoint=url, timeout=OTLP_TIMEOUT_SECONDS)
    )
