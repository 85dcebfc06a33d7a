"""The load tests: what is measured, and how.

drain      a backlog is applied as fast as it goes, results on
stream     a Store emits at a steady rate while the Bank follows; latency end to end
telemetry  drains with telemetry on and off in turn; what it costs
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from uuid import uuid4

import psycopg

from loadtest.collector import Collector
from loadtest.stages import stage_seconds
from loadtest.latency import Latencies
from loadtest.usage import Usage
from local.deadline import Patience
from local.platform import Platform, Program
from local.run import set_up
from local.stack import Stack

WAIT_SECONDS_MAX = 600.0
CREDIT_LIMIT = 10_000_000  # minor units: nearly all transfers are posted


def drain(
    stack: Stack,
    count: int,
    workers: int,
    bank_settings: Mapping[str, object] = MappingProxyType({}),
    store_settings: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """Apply a backlog of `count` transfers with `workers` Bank workers."""
    platform = _platform(stack, "drain")
    _fill(platform, count, **store_settings)
    with ExitStack() as programs:
        banks = {
            f"bank-{n}": programs.enter_context(platform.bank(str(n), **bank_settings))
            for n in range(workers)
        }
        usage = programs.enter_context(Usage(stack, banks))
        _wait_applied(platform, count, banks)
        ended = time.time()
        stages = stage_seconds(banks.values())
    began, first = _first_commit(platform)
    return {
        "scenario": "drain",
        "transfers": count,
        "workers": workers,
        "transfers_per_second": round((count - first) / (ended - began)),
        "cpu_seconds_per_million": usage.per_million(count),
        "stage_seconds_per_million": {
            stage: round(seconds * 1e6 / count, 2) for stage, seconds in stages.items()
        },
        "bank_rss_mib_max": usage.rss_mib_max,
        "invariants_ok": platform.audit().invariants_ok,
    }


def stream(stack: Stack, rate: int, seconds: float, workers: int) -> dict[str, object]:
    """Emit at `rate` transfers a second for `seconds`, the Bank following."""
    platform = _platform(stack, "stream")
    with ExitStack() as programs:
        running = {
            f"bank-{n}": programs.enter_context(platform.bank(str(n)))
            for n in range(workers)
        }
        _wait_assigned(platform, running, workers)
        latencies = programs.enter_context(Latencies(platform))
        store = programs.enter_context(
            platform.store(
                *("--seconds", str(seconds), "--rate", str(rate)), *("--seed", "1")
            )
        )
        running["store"] = store
        usage = programs.enter_context(Usage(stack, running))
        store.process.wait(seconds + WAIT_SECONDS_MAX)
        sent = int(store.text.split("acknowledged ")[-1].split()[0])
        emitted = time.time()
        _wait_applied(platform, sent, running)
        caught_up = time.time() - emitted
    began, _ = _first_commit(platform)
    return {
        "scenario": "stream",
        "transfers": sent,
        "workers": workers,
        "rate_asked": rate,
        "transfers_per_second": round(sent / (emitted + caught_up - began)),
        "caught_up_seconds": round(caught_up, 2),
        "latency_ms": latencies.percentiles(),
        "cpu_seconds_per_million": usage.per_million(sent),
        "bank_rss_mib_max": usage.rss_mib_max,
        "invariants_ok": platform.audit().invariants_ok,
    }


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


def _platform(stack: Stack, scenario: str) -> Platform:
    """A ledger and topics of its own, so that runs do not touch each other."""
    name = f"{scenario}-{uuid4().hex[:6]}"
    platform = Platform(stack, name, stack.endpoints.state_dir / "logs")
    set_up(platform, CREDIT_LIMIT)
    return platform


def _fill(platform: Platform, count: int, **settings: object) -> None:
    generated = ("--count", str(count), "--seed", "1")
    with platform.store(*generated, settings=settings) as store:
        status = store.process.wait(WAIT_SECONDS_MAX)
        assert status == 0, store.text


def _wait_applied(
    platform: Platform, count: int, programs: Mapping[str, Program]
) -> None:
    def done() -> bool:
        for name, program in programs.items():
            assert not program.process.poll(), f"{name} has ended: {program.log}"
        applied = platform.applied() >= count
        return applied and platform.positions() == platform.published()

    Patience().wait_until(
        done,
        what=f"{count} transfers to be applied and published",
        timeout_s=WAIT_SECONDS_MAX,
        interval_s=0.2,
    )


def _wait_assigned(platform: Platform, banks: dict[str, Program], workers: int) -> None:
    """Until every worker has partitions: a rebalance is not what is measured."""
    Patience().wait_until(
        lambda: all("partitions assigned" in bank.text for bank in banks.values()),
        what=f"{workers} workers to get partitions",
        timeout_s=60,
    )


def _first_commit(platform: Platform) -> tuple[float, int]:
    """When the first batch was committed (Unix time), and its records."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM committed_at)::float8, sum(records)::bigint"
            " FROM batches GROUP BY committed_at ORDER BY committed_at LIMIT 1"
        ).fetchone()
    assert row is not None, "there is a batch"
    return row[0], row[1]
