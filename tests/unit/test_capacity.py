"""What a rate needs: more of everything for more, and what a disk holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.reference import capacity
from local.reference.capacity import Costs, Plan, Prices, sizes

COSTS = Costs(
    machine="one of a test",
    store_us=100,
    bank_us=10,
    primary_us=10,
    standby_us=5,
    broker_us=20,
    ledger_bytes=150,
    wal_bytes=200,
    log_bytes=100,
    index_bytes=75,
)
rates = st.floats(1, 100_000)


def test_a_rate_in_numbers() -> None:
    """A thousand a second on average, twenty thousand at the peak."""
    needed = sizes(Plan(per_second=1_000, peak=20), COSTS)
    assert needed.store_cores == 4.0  # half of each core is kept free
    assert needed.broker_cores_each == 1.0
    kept = 1_000 * 90 * 86_400 * 100 / 0.7 / 2**30
    assert needed.broker_gib_each == pytest.approx(kept, abs=1)
    assert needed.partitions == 6


@given(rates, rates)
def test_more_needs_no_less(one: float, other: float) -> None:
    less, more = (sizes(Plan(per_second=rate), COSTS) for rate in sorted((one, other)))
    for name in vars(less):
        assert getattr(less, name) <= getattr(more, name), name
    assert less.per_month(Prices()) <= more.per_month(Prices())


@given(rates, st.floats(1, 1_000))
def test_a_disk_of_that_size_holds_it_for_so_long(rate: float, days: float) -> None:
    needed = sizes(Plan(per_second=rate, log_days=days), COSTS)
    held = needed.broker_gib_each * 2**30 * 0.7 / COSTS.log_bytes / rate / 86_400
    assert held >= days * 0.999


def test_the_costs_that_are_kept_can_be_read() -> None:
    assert capacity.costs().ledger_bytes > 100
