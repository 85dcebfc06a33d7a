"""`make try`: one command, one payment as it says, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from local.stack import StackConfig
from tests.stack.conftest import LeftOver
from tests.stack.pages import first_terminal

pytestmark = pytest.mark.stack


def test_the_payment_that_it_prints_is_posted_and_ctrl_c_ends_all(
    config: StackConfig, left_over: LeftOver, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with first_terminal(config.state_dir, log, "--brokers=1", "--postgres=1"):
        advice = log.read_text()
        where = re.search(r"curl -X PUT (\S+)", advice)
        body = re.search(r"-d '(\{.+?\})'", advice)
        assert where and body, advice
        answer = httpx.put(
            where[1],
            params={"wait": 20},
            content=body[1],
            headers={"Content-Type": "application/json"},
            timeout=30,
            trust_env=False,
        )
        assert answer.json()["state"] == "posted", answer.text
    assert "all of it has ended" in log.read_text()
    assert not left_over.after_a_moment()
