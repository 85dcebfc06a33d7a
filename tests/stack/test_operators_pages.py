"""Pages for who operates and measures, as they stand: start, reconcile, load tests."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.conftest import JARS, ROOT
from tests.stack.desk import Desk
from tests.stack.pages import blocks, say

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(1200)]
MEASURED_SECONDS = 600.0  # each command of the page


@pytest.fixture
def desk(tmp_path: Path, folder: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "state", folder)
    yield made
    made.say("make down WIPE=1")


def lines(block: str) -> list[str]:
    """The commands of a block, one each, without what is said behind them."""
    said = [line.partition("  #")[0].strip() for line in block.splitlines()]
    return [line for line in said if line and not line.startswith("kubectl")]


def crontab(line: str, folder: Path) -> str:
    """What cron hands to the shell of a line, with this folder as the checkout."""
    found = re.fullmatch(r"17 3 \* \* \* (.+)", line.strip())
    assert found, line
    return found[1].replace("\\%", "%").replace("/srv/once", str(folder))


def test_what_is_started_by_hand_is_reconciled_by_hand_and_each_night(
    desk: Desk,
) -> None:
    up, set_up, bank, store, audit = lines(blocks("operations.md")[0])
    by_hand, nightly, _, looks, trial = blocks("how-to/daily-reconciliation.md")
    desk.say(up)
    desk.say(set_up)
    with desk.runs(bank, until="partitions assigned"):
        assert "acknowledged 100000 " in desk.say(store)
        assert len(re.findall(r"\bok │", desk.say(audit))) == 11

        assert lines(by_hand) == [audit.partition(" ARGS")[0]]
        desk.say("mkdir reports\n" + crontab(nightly, desk.folder))
        (report,) = (desk.folder / "reports").glob("*.json")
        assert json.loads(report.read_text())["lost"] == 0
        summary, broken = desk.say(looks).split("\n{", 1)
        assert json.loads(summary)["records"] > 0 and broken.strip() == "}"
        assert desk.say(trial.replace("; echo", " || echo")).splitlines()[-1] == "1"


def test_the_stack_is_used_from_python(tmp_path: Path) -> None:
    (snippet,) = blocks("local-stack.md", "python")
    mine = snippet.replace("build/mine", str(tmp_path / "mine"))
    mine = mine.replace("StackConfig(", f"StackConfig(jars_dir=Path({str(JARS)!r}), ")
    say(f"{sys.executable} - <<'PYTHON'\n{mine}\nPYTHON", {"PORT": "0"}, ROOT)


def test_a_machine_is_measured_and_its_reports_are_compared(desk: Desk) -> None:
    run, compare = blocks("how-to/measure-your-own-machine.md")[:2]
    desk.environment["ONCE_INSTALL"] = "yes"
    for command in lines(run):
        desk.say(command, MEASURED_SECONDS)
    assert '"invariants_ok": true' in desk.say("cat build/reports/loadtest-http.json")
    rate, _, holds = json.loads(desk.say(compare))
    assert rate > 0 and holds
