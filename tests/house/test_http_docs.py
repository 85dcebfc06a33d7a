"""The tables of docs/http-api.md say what the Store and the Bank do."""

from __future__ import annotations

import re

from consumers.bank.verdicts import Verdict
from producers.store.client import REPEATABLE
from producers.store.problems import Kind
from producers.store.states import State
from producers.store.transfers import ClientLine, Transfer
from tests.house.tree import ROOT

PAGE = (ROOT / "docs/http-api.md").read_text()
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def coded(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_field_is_there_and_those_that_are_needed_are_marked() -> None:
    said = {
        coded(name)[0]: needed for name, needed, _ in rows("The fields of a transfer")
    }
    assert list(said) == list(ClientLine.model_fields)
    needed = {
        name for name, each in ClientLine.model_fields.items() if each.is_required()
    }
    assert {name for name, word in said.items() if word != "no"} == needed


def test_every_state_has_the_verdicts_that_lead_to_it() -> None:
    said = rows("Where a payment is")
    states = [name for state, *_ in said for name in coded(state)]
    assert sorted(states) == sorted(state.value for state in State)
    verdicts = {name for row in said for name in coded(row[2])}
    known = {verdict.name for verdict in Verdict if verdict.name != "UNKNOWN"}
    declined = {name for name in known if name.startswith("DECLINED_")}
    assert verdicts == known - declined | {"DECLINED_<reason>"}


def test_every_reason_of_a_decline_is_there() -> None:
    said = [coded(reason)[0] for reason, *_ in rows("Why it was declined")]
    names = [verdict.name for verdict in Verdict]
    reasons = [name for name in names if name.startswith("DECLINED_")]
    assert sorted(f"DECLINED_{reason}" for reason in said) == sorted(reasons)


def test_what_is_to_be_repeated_is_what_our_client_repeats() -> None:
    table = rows("Which answers to repeat")
    (repeated,) = [cell for cell, do in table if "send it again" in do]
    assert {int(code) for code in re.findall(r"\d{3}", repeated)} == set(REPEATABLE)
    named = {int(code) for cell, _ in table for code in re.findall(r"\d{3}", cell)}
    assert {kind.status for kind in Kind} - named <= {501, 505}, "nobody asks for those"


def test_the_program_makes_a_transfer_and_compiles() -> None:
    (code,) = CODE.findall(PAGE)
    compile(code, "docs/http-api.md", "exec")
    before, _, _ = code.partition("# Store")
    made: dict[str, object] = {}
    exec(before, made)
    assert isinstance(made["payment"], Transfer)
