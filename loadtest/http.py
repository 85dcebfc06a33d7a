"""Load on the Store's HTTP API, over connections that are kept alive.

Three runs on one platform, with a Bank beside them: as many single PUTs as go through,
a steady rate of them for the latency, and batches. The first and the last are made by
wrk, which waits for each answer before it asks again: they say how many, and nothing of
latency. The steady rate is kept whatever the Store does (loadtest/paced.py).
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from loadtest.answers import Answers
from loadtest.paced import paced, single_puts
from loadtest.platforms import (
    WARM_UP_SECONDS,
    acknowledged,
    new_platform,
    wait_applied,
    wait_assigned,
)
from loadtest.usage import Usage
from loadtest.volume import Volume
from local.platform import Platform
from local.platform.accounts import ACCOUNTS, MERCHANTS
from local.processes import commands
from local.processes.errors import StackError
from local.stack import Stack

SCRIPTS = Path(__file__).parent / "wrk"
CONNECTIONS = 600  # many clients, each with one payment at a time
STEADY_CONNECTIONS, STEADY_RATE = 100, 500.0
BATCH_LINES, BATCH_CONNECTIONS = 2_000, 4


def http(stack: Stack, seconds: float) -> dict[str, object]:
    """Single PUTs, PUTs at a steady rate, batches: `seconds` of each."""
    with new_platform(stack, "http") as platform:
        report = _http(platform, seconds)
    return {**report, "follow": follow(stack, seconds)}


def _http(platform: Platform, seconds: float) -> dict[str, object]:
    ack_log = platform.logs / f"{platform.name}-acknowledged.log"
    with ExitStack() as programs:
        bank = programs.enter_context(platform.bank())
        store = programs.enter_context(
            platform.store_api(ack_log=ack_log, rate_limit=1_000_000)
        )
        url = store.url()
        wrk(url, "put.lua", WARM_UP_SECONDS, CONNECTIONS)
        before = Volume.now(platform)
        with Usage(platform.stack, {"store": store, "bank": bank}) as usage:
            single = wrk(url, "put.lua", seconds, CONNECTIONS)
        volume = Volume.now(platform).per_transfer(before, single.requests)
        steady = _steady(url, seconds)
        batch = wrk(url, "batch.lua", seconds, BATCH_CONNECTIONS, BATCH_LINES)
        store.terminate()
        sent = sum(1 for _ in ack_log.open())
        wait_applied(platform, sent, {"bank": bank})
    return {
        "scenario": "http",
        "put": {
            **single.report(),
            "cpu_seconds_per_million": usage.per_million(single.requests),
            "bytes_per_transfer": volume,
        },
        "put_steady": {**steady.report(), "rate_asked": STEADY_RATE},
        "batch": {
            **batch.report(),
            "lines": BATCH_LINES,
            "transfers_per_second": round(batch.per_second * BATCH_LINES),
        },
        "acknowledged": sent,
        "invariants_ok": platform.audit(ack_log).invariants_ok,
    }


def wrk(url: str, script: str, seconds: float, connections: int, *more: int) -> Answers:
    """One run of wrk. Raises StackError."""
    program = shutil.which("wrk")
    if program is None:
        raise StackError("wrk is missing: make prerequisites, or install it")
    run = uuid4().hex[:8]
    said = commands.run(
        [
            *(program, "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds:.0f}s", "--timeout", "10s"),
            *("--script", str(SCRIPTS / script), url, "--"),
            *(str(ACCOUNTS), str(MERCHANTS), run, *map(str, more)),
        ],
        "wrk",
    )
    return Answers(**json.loads(said.strip().splitlines()[-1]))


def _steady(url: str, seconds: float) -> Answers:
    """PUTs at STEADY_RATE; latency from when each was due."""
    return paced(
        url,
        rate=STEADY_RATE,
        seconds=seconds,
        connections=STEADY_CONNECTIONS,
        request=single_puts(uuid4().hex[:8]),
    )


def follow(stack: Stack, seconds: float, rate: int = 50_000) -> dict[str, object]:
    """What it costs a Store to follow the results of others' transfers."""
    with ExitStack() as programs:
        platform = programs.enter_context(new_platform(stack, "follow"))
        bank = programs.enter_context(platform.bank())
        store = programs.enter_context(platform.store_api())
        store.url()
        wait_assigned(platform, {"bank": bank}, 1)
        pace = ("--seconds", f"{seconds:.0f}", "--rate", str(rate))
        with Usage(stack, {"store": store}) as usage:
            emitter = platform.store(*pace, "--seed", "1", "--json")
            sent = acknowledged(programs.enter_context(emitter))
            wait_applied(platform, sent, {"bank": bank})
    cpu = usage.cpu_seconds["store"]
    return {
        "others_transfers": sent,
        "cpu_seconds": cpu,
        "cpu_seconds_per_million": round(cpu * 1e6 / sent, 2),
    }
