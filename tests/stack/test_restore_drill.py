"""The drill of a restore, small: the ledger is lost and comes back, row by row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.conftest import JARS, ROOT

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(400)]

RECORDS = 20_000


@pytest.mark.parametrize("nodes", [1, 3], ids=["one", "three"])
def test_a_lost_ledger_comes_back_as_it_was(nodes: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local", "restore-drill"]
    command += ["--records", str(RECORDS), "--jars-dir", str(JARS)]
    command += ["--brokers", str(nodes), "--postgres", str(nodes)]
    command += ["--reports", str(tmp_path), "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "restore-drill.json").read_text())
    assert result["records"] == RECORDS
    # The moment was before the last two fifths, and servers died in the second of them.
    assert RECORDS // 5 < result["records_rebuilt_from_kafka"] <= 2 * RECORDS // 5
    assert result["holds"] and result["invariants_ok"]
    assert (result["lost"], result["duplicated"], result["differences"]) == (0, 0, [])
    assert result["rto_seconds"] < 120
