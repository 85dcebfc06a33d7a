"""The collector to try with prints what our own exporter sends."""

from __future__ import annotations

import subprocess
import sys

from once.telemetry import Telemetry
from once.tracing import end_all, send_span
from tests.house.tree import ROOT


def test_a_span_that_we_export_is_printed() -> None:
    command = [sys.executable, str(ROOT / "examples/python/spans.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout is not None
        try:
            url = collector.stdout.readline().split()[-1]
            telemetry = Telemetry.start("store", "0", 1.0, url)
            end_all([send_span(telemetry.tracer, "transfers", 3)])
            telemetry.shutdown()
            said = collector.stdout.readline()
        finally:
            collector.terminate()
    assert " send transfers " in said
    assert said.rstrip().endswith("messaging.destination.partition.id=3")
