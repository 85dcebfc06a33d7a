"""Print spans: a collector to try tracing with, in one file.

    python spans.py 4318

It listens on 127.0.0.1 for OTLP over HTTP and prints a line for each span: trace, name,
how long, and what of partition, offset and verdict it has. It keeps nothing.

Needs opentelemetry-proto, which is in the .venv of this repository.
"""

from __future__ import annotations

import gzip
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SHOWN = (
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
    "once.verdict",
)


def line(span: Span) -> str:
    """One span for people."""
    facts = {
        each.key: each.value.string_value or str(each.value.int_value)
        for each in span.attributes
    }
    milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    shown = [f"{name}={facts[name]}" for name in SHOWN if name in facts]
    return " ".join([span.trace_id.hex(), span.name, f"{milliseconds:.1f} ms", *shown])


class Handler(BaseHTTPRequestHandler):
    """Takes what a program exports."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for sender in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in sender.scope_spans:
                for span in scope.spans:
                    print(line(span), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: standard output is for spans."""


def main() -> None:
    """Until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4318
    server = HTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
