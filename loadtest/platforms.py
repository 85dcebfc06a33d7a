"""A platform for one load test, and waiting for what it is to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import psycopg

from local.platform import Platform, Program
from local.platform.accounts import set_up
from local.processes.waiting import wait_until
from local.stack import Stack

WAIT_SECONDS_MAX = 600.0
WARM_UP_SECONDS = 60  # of the brokers' compiler, most of all
CREDIT_LIMIT = 10_000_000  # minor units: nearly all transfers are posted


@contextmanager
def new_platform(stack: Stack, scenario: str) -> Iterator[Platform]:
    """A ledger and topics of its own, so that runs do not touch each other."""
    name = f"{scenario}-{uuid4().hex[:6]}"
    platform = Platform(stack, name, stack.endpoints.state_dir / "logs")
    set_up(platform, CREDIT_LIMIT)
    try:
        yield platform
    finally:
        platform.remove()


def wait_applied(
    platform: Platform, count: int, programs: Mapping[str, Program]
) -> None:
    """Until so many transfers are applied, besides the changes of accounts."""
    count += platform.opened()

    def done() -> bool:
        for name, program in programs.items():
            assert not program.process.poll(), f"{name} has ended: {program.log}"
        return platform.watch.is_done(count)

    wait_until(
        done,
        what=f"{count} transfers to be applied and published",
        timeout_seconds=WAIT_SECONDS_MAX,
        interval_seconds=0.2,
    )


def wait_assigned(platform: Platform, banks: dict[str, Program], workers: int) -> None:
    """Until every worker has partitions: a rebalance is not what is measured."""
    wait_until(
        lambda: all(bank.events("partitions assigned") for bank in banks.values()),
        what=f"{workers} workers to get partitions",
        timeout_seconds=60,
    )


def acknowledged(store: Program) -> int:
    """How many transfers a Store acknowledged that emits with --json, at its end."""
    assert store.process.wait(WAIT_SECONDS_MAX) == 0, store.text
    *_, report = store.text.splitlines()
    return int(json.loads(report)["acknowledged"])


def first_commit(platform: Platform) -> tuple[float, int]:
    """When the first batch was committed (Unix time), and its records."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM committed_at)::float8, sum(records)::bigint"
            " FROM all_batches WHERE posted + declined > 0"  # not those of accounts
            " GROUP BY committed_at ORDER BY committed_at LIMIT 1"
        ).fetchone()
    assert row is not None, "there is a batch"
    return row[0], row[1]
