"""Lag is 0 when there is nothing to do, whatever takes offsets in the log."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from consumers.bank.lag import Lags
from once.metrics import Lag


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lags(clock: Clock) -> Lags:
    return Lags(clock)


def test_markers_behind_the_last_record_are_no_lag(lags: Lags) -> None:
    """A thousand of them: aborted transactions leave as many."""
    lags.step({0: 50}, {0: 1050}, {0: 1050}, age=None)
    assert lags.now == {0: Lag(0, 0.0)}


def test_a_backlog_is_as_old_as_what_is_read_of_it(lags: Lags) -> None:
    lags.step({0: 50}, {}, {0: 1050}, age=7.5)
    assert lags.now == {0: Lag(1000, 7.5)}
    lags.step({0: 50}, {}, {0: 1050}, age=None)
    assert lags.now == {0: Lag(1000, 7.5)}, "nothing came, and it is not forgotten"


def test_a_stable_offset_that_was_passed_says_nothing_any_more(lags: Lags) -> None:
    lags.step({0: 80}, {0: 60}, {0: 90}, age=0.5)
    assert lags.now == {0: Lag(10, 0.5)}


def test_what_an_open_transaction_holds_back_grows_older_by_the_clock(
    lags: Lags, clock: Clock
) -> None:
    lags.step({0: 50}, {0: 50}, {0: 53}, age=None)
    clock.now += 8
    lags.step({0: 50}, {0: 50}, {0: 60}, age=None)
    assert lags.now == {0: Lag(10, 8.0, held=8.0)}
    lags.step({0: 50}, {0: 61}, {0: 61}, age=None)  # it was aborted
    assert lags.now == {0: Lag(0, 0.0)}
    lags.step({0: 50}, {0: 61}, {0: 63}, age=None)  # and another one began
    assert lags.now == {0: Lag(2, 0.0)}


def test_while_something_is_away_it_grows_by_the_clock(
    lags: Lags, clock: Clock
) -> None:
    lags.step({0: 50, 1: 9}, {0: 50}, {0: 50, 1: 12}, age=2.0)
    clock.now += 30
    lags.wait()
    assert lags.now == {0: Lag(1, 30.0), 1: Lag(3, 30.0)}


def test_partitions_that_are_taken_are_forgotten(lags: Lags) -> None:
    lags.step({0: 50, 1: 9}, {}, {0: 51, 1: 12}, age=2.0)
    lags.keep([1])
    assert list(lags.now) == [1]
