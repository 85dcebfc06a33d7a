"""The tutorial, block by block, as it stands: what it says is what happens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from local.processes.waiting import wait_until
from tests.stack.conftest import ROOT
from tests.stack.pages import LEAVE_SECONDS, blocks, first_terminal, say

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

INVARIANTS = 11
ELSEWHERE = re.compile(r"^(.*?\S)\s+# second terminal$", re.MULTILINE)


def front_page() -> list[str]:
    """README's payment, and the question what became of it."""
    return [block for block in blocks("../README.md") if block.startswith("curl")]


@pytest.mark.nightly  # README begins as they do
def test_the_first_two_pages_do_what_they_say(tmp_path: Path) -> None:
    acknowledged = ROOT / "build" / "acknowledged.log"
    acknowledged.unlink(missing_ok=True)
    with first_terminal(tmp_path / "state", tmp_path / "log") as environment:
        _, pay, ask, twice, declined, batch, look = blocks(
            "tutorial/1-first-payment.md"
        )
        assert '"state":"committed"' in say(pay, environment)
        wait_until(
            lambda: '"state":"posted"' in say(ask, environment),
            what="the first payment to be posted",
            timeout_seconds=30,
        )
        assert '"state":"posted"' in say(pay, environment)
        assert re.search(r"100001 \|\s+250\b", say(twice, environment))
        assert '"reason":"INSUFFICIENT_FUNDS"' in say(declined, environment)
        assert '"line":' in say(batch, environment)
        seen = say(look, environment)
        assert "coffee" in seen and "I11" in seen
        break_it(environment, tmp_path)


def break_it(environment: dict[str, str], logs: Path) -> None:
    """The second page, on what the first one has left."""
    start, worker, broker, primary, audit, cheat = blocks("tutorial/2-break-it.md")
    flow = ELSEWHERE.findall(start)
    with (logs / "flow").open("w") as out:
        store = subprocess.Popen(
            ["bash", "-ec", f"exec {flow[0]}"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        acknowledged = ROOT / "build" / "acknowledged.log"
        wait_until(acknowledged.exists, what="payments to flow", timeout_seconds=30)
        say(worker, environment)
        wait_until(
            lambda: "died with status -9" in (logs / "log").read_text(),
            what="the first terminal to say that a worker died",
            timeout_seconds=30,
        )
        assert "kafka-2" in say(broker, environment)
        say(primary, environment)
        grown = acknowledged.stat().st_size
        wait_until(
            lambda: acknowledged.stat().st_size > grown,
            what="payments to flow again",
            timeout_seconds=60,
        )
    finally:
        os.killpg(store.pid, signal.SIGINT)  # Ctrl-C
        store.wait(LEAVE_SECONDS)
    assert len(re.findall(r"\bok │", say(audit, environment))) == INVARIANTS
    first, second = cheat.splitlines()
    say(first, environment)
    with pytest.raises(AssertionError, match="I4"):
        say(second, environment)


def test_the_front_page_and_the_third_one_do_what_they_say(tmp_path: Path) -> None:
    with first_terminal(tmp_path / "state", tmp_path / "log") as environment:
        pay, ask = front_page()
        assert '"state":"committed"' in say(pay, environment)
        wait_until(
            lambda: '"state":"posted"' in say(ask, environment),
            what="the payment to be posted",
            timeout_seconds=30,
        )
        _, database, count, kill, total, ask, clean = blocks(
            "tutorial/3-your-own-consumer.md"
        )
        all_of_it = f"until {total.strip()} | grep -w 40001; do sleep 1; done\n"
        said = say("".join([database, count, kill, all_of_it, ask, clean]), environment)
    assert re.search(r"POSTED\s+\|\s+\d{5}\b", said), said
