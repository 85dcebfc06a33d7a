"""`make try`: one command, one payment as it says, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from local.processes.waiting import wait_until
from local.stack import StackConfig
from tests.stack.conftest import ROOT, LeftOver

pytestmark = pytest.mark.stack

READY_SECONDS, LEAVE_SECONDS = 120.0, 60.0


def test_the_payment_that_it_prints_is_posted_and_ctrl_c_ends_all(
    config: StackConfig, left_over: LeftOver, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "local", "try", "--brokers=1", "--postgres=1"]
    command += [f"--state-dir={config.state_dir}", f"--jars-dir={config.jars_dir}"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "STORE_PORT": "0"},
            stdout=out,
            stderr=out,
        ) as trial,
    ):
        try:
            wait_until(
                lambda: "Ctrl-C ends" in log.read_text() or trial.poll() is not None,
                what="its advice",
                timeout_seconds=READY_SECONDS,
            )
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
            trial.send_signal(signal.SIGINT)
            assert trial.wait(LEAVE_SECONDS) == 0, log.read_text()
        finally:
            trial.kill()
    assert "all of it has ended" in log.read_text()
    assert not left_over.after_a_moment()
