"""The audit says what it did not look at: what waits, and what is not told."""

from __future__ import annotations

import pytest

from local.platform import Platform
from tests.fix_platform import emit, transfer
from tests.integration.kafka_admin import set_group_offsets
from tests.integration.spoilt import broken

pytestmark = pytest.mark.stack


def test_nothing_is_left_out_of_a_platform_that_is_idle(platform: Platform) -> None:
    with platform.bank(session_timeout_ms=2000) as bank:
        emit(platform, *[transfer(payer) for payer in range(1, 30)])
        platform.wait_applied(29)
        assert bank.terminate() == 0
    left = platform.audit().behind
    assert (left.waiting, left.unpublished, str(left)) == (0, 0, "")


def test_records_that_nobody_applies_are_counted_and_break_nothing(
    platform: Platform,
) -> None:
    """Also those of partitions that the ledger has never heard of."""
    emit(platform, *[transfer(payer) for payer in range(1, 30)])
    report = platform.audit()
    assert broken(report) == {} and report.records == 0
    assert 29 <= report.behind.waiting <= 29 + 3, "a marker for each partition"
    assert 0 < report.behind.waiting_seconds < 60
    assert "records are not applied, the oldest in the log for" in str(report.behind)


def test_results_that_are_not_told_are_counted(platform: Platform) -> None:
    with platform.bank(session_timeout_ms=2000) as bank:
        emit(platform, *[transfer(payer) for payer in range(1, 30)])
        platform.wait_applied(29)
        assert bank.terminate() == 0
    told = platform.published()
    partition = max(told, key=lambda each: told[each])
    set_group_offsets(platform, {partition: told[partition] - 3})
    left = platform.audit().behind
    assert left.waiting == 0 and 1 <= left.unpublished <= 3
    assert "results of up to" in str(left)
