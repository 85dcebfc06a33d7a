"""The load tests: what is measured, and how.

drain      a backlog is applied as fast as it goes, results on
stream     a Store emits at a steady rate while the Bank follows; latency end to end
telemetry  drains with telemetry on and off in turn; what it costs
audit      a drain, and audits of it
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType

from loadtest.collector import Collector
from loadtest.latency import Latencies
from loadtest.platforms import (
    WAIT_SECONDS_MAX,
    WARM_UP_SECONDS,
    acknowledged,
    first_commit,
    new_platform,
    wait_applied,
    wait_assigned,
)
from loadtest.stages import stage_seconds
from loadtest.usage import Usage
from loadtest.volume import Volume
from local.platform import Platform, Program
from local.stack import Stack


def drain(
    stack: Stack,
    count: int,
    workers: int,
    bank_settings: Mapping[str, object] = MappingProxyType({}),
    store_settings: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """Apply a backlog of `count` transfers with `workers` Bank workers."""
    with new_platform(stack, "drain") as platform:
        return _drain(platform, count, workers, bank_settings, store_settings)


def _drain(
    platform: Platform,
    count: int,
    workers: int,
    bank_settings: Mapping[str, object],
    store_settings: Mapping[str, object],
) -> dict[str, object]:
    before = Volume.now(platform)
    _fill(platform, count, **store_settings)
    with ExitStack() as programs:
        banks = {
            f"bank-{n}": programs.enter_context(platform.bank(str(n), **bank_settings))
            for n in range(workers)
        }
        usage = programs.enter_context(Usage(platform.stack, banks))
        wait_applied(platform, count, banks)
        ended = time.time()
        stages = stage_seconds(banks.values())
    began, first = first_commit(platform)
    return {
        "scenario": "drain",
        "transfers": count,
        "workers": workers,
        "transfers_per_second": round((count - first) / (ended - began)),
        "cpu_seconds_per_million": usage.per_million(count),
        "stage_seconds_per_million": {
            stage: round(seconds * 1e6 / count, 2) for stage, seconds in stages.items()
        },
        "bytes_per_transfer": Volume.now(platform).per_transfer(before, count),
        "bank_rss_mib_max": usage.rss_mib_max,
        "invariants_ok": platform.audit().invariants_ok,
    }


def audit(stack: Stack, count: int, workers: int, rounds: int = 3) -> dict[str, object]:
    """Records a second of the audit, beside those of the drain that it audits."""
    with new_platform(stack, "audit") as platform:
        drained = _drain(platform, count, workers, {}, {})
        reports = [platform.audit() for _ in range(rounds)]
    per_second = count / statistics.median(report.seconds for report in reports)
    drain_per_second = drained["transfers_per_second"]
    assert isinstance(drain_per_second, int), "see _drain()"
    return {
        "scenario": "audit",
        "transfers": count,
        "workers": workers,
        "drain_per_second": drain_per_second,
        "audit_seconds": [report.seconds for report in reports],
        "audit_per_second": round(per_second),
        "audit_to_drain": round(per_second / drain_per_second, 2),
        "invariants_ok": all(report.invariants_ok for report in reports),
    }


def stream(stack: Stack, rate: int, seconds: float, workers: int) -> dict[str, object]:
    """Emit at `rate` transfers a second for `seconds`, the Bank following."""
    with new_platform(stack, "stream") as platform:
        return _stream(platform, rate, seconds, workers)


def _stream(
    platform: Platform, rate: int, seconds: float, workers: int
) -> dict[str, object]:
    with ExitStack() as programs:
        running = {
            f"bank-{n}": programs.enter_context(platform.bank(str(n)))
            for n in range(workers)
        }
        wait_assigned(platform, running, workers)
        warmed = _emitted(_emitter(platform, WARM_UP_SECONDS, rate))
        wait_applied(platform, warmed, running)
        began = time.time()
        latencies = programs.enter_context(Latencies(platform, since_seconds=began))
        store = running["store"] = _emitter(platform, seconds, rate)
        with Usage(platform.stack, running) as usage:
            sent = _emitted(store)
            emitted = time.time()
            wait_applied(platform, warmed + sent, running)
            caught_up = time.time() - emitted
    return {
        "scenario": "stream",
        "transfers": sent,
        "workers": workers,
        "rate_asked": rate,
        "transfers_per_second": round(sent / (seconds + caught_up)),
        "caught_up_seconds": round(caught_up, 2),
        "latency_ms": latencies.percentiles(),
        "cpu_seconds_per_million": usage.per_million(sent),
        "bank_rss_mib_max": usage.rss_mib_max,
        "invariants_ok": platform.audit().invariants_ok,
    }


def _emitter(platform: Platform, seconds: float, rate: int) -> Program:
    timed = ("--seconds", str(seconds), "--rate", str(rate))
    return platform.store(*timed, "--seed", "1", "--json")


def _emitted(store: Program) -> int:
    """How many transfers it acknowledged, once it has ended."""
    with store:
        return acknowledged(store)


def telemetry(
    stack: Stack, count: int, workers: int, rounds: int = 5
) -> dict[str, object]:
    """Bank CPU per transfer with metrics and 1 % traces, and without, in turn."""
    on: list[float] = []
    off: list[float] = []
    with Collector() as collector:
        traced = {"otlp_endpoint": collector.url}  # 1 % of the records, by default
        for _ in range(rounds):
            for costs, settings in ((on, traced), (off, {"metrics": False})):
                result = drain(stack, count, workers, settings, traced)
                by_process = result["cpu_seconds_per_million"]
                assert isinstance(by_process, dict), "see drain()"
                banks = [cpu for n, cpu in by_process.items() if n.startswith("bank")]
                costs.append(round(sum(banks), 2))
    ratios = [a / b for a, b in zip(on, off, strict=True)]
    return {
        "scenario": "telemetry",
        "bank_cpu_seconds_per_million_on": on,
        "bank_cpu_seconds_per_million_off": off,
        "spans_collected_bytes": collector.received_bytes,
        "cost_ratio_median": round(statistics.median(ratios), 3),
        "cost_ratios": [round(ratio, 3) for ratio in ratios],
    }


def _fill(platform: Platform, count: int, **settings: object) -> None:
    generated = ("--count", str(count), "--seed", "1")
    with platform.store(*generated, settings=settings) as store:
        status = store.process.wait(WAIT_SECONDS_MAX)
        assert status == 0, store.text
