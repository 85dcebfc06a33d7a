"""Waiting ends with the condition, or with a sentence that says where to look."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.processes.errors import StackError
from local.processes.waiting import wait_until


def test_it_ends_when_the_condition_holds() -> None:
    answers = iter([False, True])
    wait_until(lambda: next(answers), what="it", timeout_seconds=9, interval_seconds=0)
    assert next(answers, None) is None


def test_at_the_deadline_it_says_what_was_awaited_and_which_logs_may_say_why() -> None:
    logs = [Path("logs/kafka-1.log"), Path("logs/kafka-2.log")]
    with pytest.raises(StackError) as raised:
        wait_until(lambda: False, what="Kafka", timeout_seconds=0, logs=logs)
    assert str(raised.value) == (
        "gave up after 0 s waiting for Kafka; see logs/kafka-1.log, logs/kafka-2.log"
    )
    with pytest.raises(StackError, match="waiting for Kafka$"):
        wait_until(lambda: False, what="Kafka", timeout_seconds=0)
