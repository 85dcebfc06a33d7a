"""A Bank's lag, while foreign producers leave markers, and leave a transaction open."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from tests.fix_platform import emit, health_url, transfer
from tests.integration.raw import Foreign

pytestmark = pytest.mark.stack

ABORTED, WAITED_SECONDS = 150, 2.0
RECORDS = "once_lag_records"
SECONDS, HELD = "once_lag_time_seconds", "once_held_back_time_seconds"


def lag(bank: Program, name: str) -> dict[int, float]:
    """One of its gauges, by partition."""
    page = httpx.get(f"{health_url(bank.text)}/metrics").text
    return {
        int(sample.labels["messaging_destination_partition_id"]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    }


def test_aborted_transactions_are_no_lag(platform: Platform) -> None:
    with Foreign(platform) as foreign, platform.bank(session_timeout_ms=2000) as bank:
        emit(platform, transfer())
        for _ in range(ABORTED):
            foreign.send(foreign.transfer(), partition=0, commit=False)
        platform.wait_applied(1)
        wait_until(
            lambda: lag(bank, RECORDS) == {0: 0, 1: 0, 2: 0},
            what=f"{ABORTED} markers and as many records to be no lag",
            timeout_seconds=20,
        )
        assert set(lag(bank, SECONDS).values()) == {0}


def test_an_open_transaction_holds_readers_back_and_is_seen(
    platform: Platform,
) -> None:
    with Foreign(platform) as foreign, platform.bank(session_timeout_ms=2000) as bank:
        wait_until(
            lambda: "bank worker started" in bank.text,
            what="the Bank",
            timeout_seconds=30,
        )
        with foreign.holding(foreign.transfer(), partition=1):
            wait_until(
                lambda: lag(bank, HELD).get(1, 0) > WAITED_SECONDS,
                what="the open transaction to be noticed",
                timeout_seconds=30,
            )
            held = lag(bank, RECORDS)
            assert held[1] >= 1 and held[0] == held[2] == 0
            assert lag(bank, SECONDS)[1] > WAITED_SECONDS
        wait_until(
            lambda: lag(bank, RECORDS) == {0: 0, 1: 0, 2: 0}
            and set(lag(bank, HELD).values()) == {0},
            what="its end to be seen",
            timeout_seconds=20,
        )
