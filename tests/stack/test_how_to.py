"""How-tos for one machine, block by block, as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest

from local.processes.waiting import wait_until
from tests.stack.conftest import ROOT
from tests.stack.pages import blocks, first_terminal, say

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(400)]

LUNCH = """
ID=0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c41
curl -sS -X PUT "localhost:8080/v1/transfers/$ID?wait=10" \\
     -H 'Content-Type: application/json' -d '{"debit_account": 900001,
     "credit_account": 900002, "amount": 1250, "currency": "EUR", "memo": "lunch"}'
"""


def commands(page: str) -> list[str]:
    """The blocks of a page that are for one machine."""
    elsewhere = (
        "kubectl",
        'curl -X PUT "https://$HOST',
        'curl -X PATCH "https://$HOST',
    )
    return [b for b in blocks(f"how-to/{page}") if not b.startswith(elsewhere)]


def table(said: str) -> list[str]:
    """The rows that psql has printed, without the space between cells."""
    return [re.sub(r"\s*\|\s*", "|", row.strip()) for row in said.splitlines()]


def test_accounts_are_opened_funded_corrected_and_frozen(
    folder: Path, tmp_path: Path
) -> None:
    with first_terminal(tmp_path / "state", tmp_path / "log") as environment:
        outside, customers, pay_in, balances = commands("open-accounts-and-fund.md")
        for block in (outside, customers, pay_in):
            say(block, environment, folder)
        wait_until(
            lambda: "900002|open|0|7500|7500"
            in table(say(balances, environment, folder)),
            what="the pay-ins to be posted",
            timeout_seconds=30,
        )
        assert "POSTED" in say(commands("find-a-payment.md")[-2], environment, folder)

        assert '"posted"' in say(LUNCH, environment, folder)
        look, before, correct, after = commands("correct-a-payment.md")
        wrong = look.splitlines()[0]
        assert "lunch" in say(look, environment, folder)
        assert "900002|open|8750" in table(say(before, environment, folder))
        assert '"posted"' in say(f"{wrong}\n{correct}", environment, folder)
        again = say(f"{wrong}\n{correct}", environment, folder)
        assert '"posted"' in again, "the key is the same, and so is the answer"
        said = table(say(f"{wrong}\n{after}", environment, folder))
        assert (
            sum(row.startswith("POSTED|900002|900001|1250|corr") for row in said) == 1
        )

        look, limit, asked, shown, refused = commands("freeze-close-or-limit.md")
        say(look, environment, folder)
        assert "account 900001: CHANGED" in say(limit, environment, folder)
        page = (ROOT / "docs/how-to/freeze-close-or-limit.md").read_text()
        freeze = re.search(r"^ *\| freeze \| `(.+?)` \|$", page, re.MULTILINE)
        assert freeze
        freezing = limit.replace("--credit-limit 20000", freeze[1])
        assert "account 900001: CHANGED" in say(freezing, environment, folder)
        rows = table(say(asked, environment, folder))
        assert any(row.endswith("ticket 4711|CHANGED|frozen|20000") for row in rows)
        assert "900001|frozen|20000" in table(say(shown, environment, folder))
        assert '"reason":"ACCOUNT_FROZEN"' in say(refused, environment, folder)


def payments(count: int) -> str:
    """So many lines, each from an account of its own."""
    terms = {"credit_account": 100_001, "amount": 1, "currency": "EUR", "memo": "many"}
    return "".join(
        json.dumps({"transfer_id": str(uuid4()), "debit_account": account, **terms})
        + "\n"
        for account in range(1, count + 1)
    )


def test_many_payments_are_sent_each_way_and_looked_at_with_kafkas_tools(
    folder: Path, tmp_path: Path
) -> None:
    sent = folder / "payments.ndjson"
    sent.write_text(payments(300))
    with first_terminal(tmp_path / "state", tmp_path / "log") as environment:
        file, rest, pipe, pieces, refused, audit = commands("send-many-payments.md")
        assert "acknowledged 300" in say(file, environment, folder)
        say(rest, environment, folder)
        assert (folder / "rest.ndjson").read_text() == ""
        assert "acknowledged 300" in say(pipe, environment, folder)
        assert "again" not in say(pieces, environment, folder)
        assert '"status":' not in say(refused, environment, folder)
        said = say(audit, environment, folder)
        assert said.startswith("600 ") and len(re.findall(r"\bok │", said)) == 11

        listed, offsets, groups, console, peek, transactions, segment = commands(
            "inspect-with-kafka-tools.md"
        )
        assert "transfer-receipts" in say(listed, environment, folder)
        assert "transfers:0:" in say(offsets, environment, folder)
        assert "bank" in say(groups, environment, folder)
        assert "Processed a total of 5 messages" in say(console, environment, folder)
        ending = "\n".join(line for line in peek.splitlines() if "ends" not in line)
        assert '"many"' in say(ending, environment, folder)
        assert "store" in say(transactions, environment, folder)
        here = segment.replace(".local/", f"{tmp_path / 'state'}/")
        assert "offset:" in say(here, environment, folder).lower()


def session(page: str) -> list[tuple[str, str]]:
    """Each command behind a prompt, and what the page shows behind it."""
    (shown,) = [block for block in blocks(page) if block.startswith("$ ")]
    found = []
    for each in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n(?:(?<=<<'END'\n)(?:.*\n)*?END\n)?", each)
        assert command
        found.append((command[0], each[command.end() :].strip()))
    return found


def is_shown(answer: str, expected: str) -> bool:
    """Whether each line is in an answer; `...` stands for anything."""
    wanted = (
        re.escape(line).replace(r"\.\.\.", ".*") for line in expected.splitlines()
    )
    return all(re.search(line, answer) for line in wanted)


def test_the_page_of_the_api_shows_what_the_api_answers(tmp_path: Path) -> None:
    with first_terminal(tmp_path / "state", tmp_path / "log") as environment:
        commands_and_answers = session("http-api.md")
        assert len(commands_and_answers) == 5
        for command, expected in commands_and_answers:
            wait_until(
                lambda: is_shown(say(command, environment), expected),
                what=f"{command} to answer {expected}",
                timeout_seconds=20,
            )
        (sample,) = blocks("http-api.md", "python")
        where = f"127.0.0.1:{environment['PORT']}"
        program = tmp_path / "pay.py"
        program.write_text(sample.replace("127.0.0.1:8080", where))
        here = {**environment, "PYTHONPATH": str(ROOT)}
        assert "posted" in say(f".venv/bin/python {program}", here).lower()
