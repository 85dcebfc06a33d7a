"""What the runbook says of a known finding, done as it says it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from consumers.bank.audit.run import audit
from tests.integration.spoilt import PAYER, Copy

pytestmark = pytest.mark.stack

RUNBOOK = Path("docs/runbooks/audit-broken.md")


def blocks() -> list[str]:
    """The commands of its last section."""
    _, _, section = RUNBOOK.read_text().partition("## A finding that is known")
    return re.findall(r"```\n(.*?)```", section, re.S)


def test_a_finding_is_signed_and_the_audit_holds_again(
    copy: Copy, tmp_path: Path
) -> None:
    copy.spoil("UPDATE accounts SET status = 'frozen' WHERE account = %s", PAYER)
    report = copy.audit()
    path = tmp_path / "audit.json"
    path.write_text(report.model_dump_json())
    keys, sign = blocks()
    command = sign.partition("AUDIT_WAIVERS=")[0].replace("I10", "I11")
    command = command.replace("build/reports/audit.json", str(path))
    for said in (keys, command):
        here = said.replace("waiver", f"{tmp_path}/waiver").replace(
            f"audit.{tmp_path}/waive", "audit.waive"
        )
        subprocess.run(["bash", "-euc", here], check=True, timeout=60)
    waivers = tmp_path / "waivers.ndjson"
    known = {"waivers": waivers, "waiver_key": tmp_path / "waiver-key.pub.pem"}
    settings = copy.audit_settings().model_copy(update=known)
    again = audit(settings)
    assert again.invariants_ok and again.invariants["I11"].accepted == 1
    (note,) = [note for note in again.notes if "Ada Lovelace" in note]
    assert report.invariants["I11"].findings[0] in note

    (line,) = waivers.read_text().splitlines()
    other = json.loads(line)["finding"].replace("frozen", "closed")
    copy.spoil("UPDATE accounts SET status = 'closed' WHERE account = %s", PAYER)
    assert audit(settings).invariants["I11"].findings == [other]
