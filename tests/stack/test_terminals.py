"""How-tos that want several terminals, as they stand: tokens, traces, starting over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.processes.waiting import wait_until
from tests.stack.desk import Desk
from tests.stack.pages import blocks

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "state")
    made.say("make up set-up")
    yield made
    made.say("make down WIPE=1")


def codes(said: str) -> list[str]:
    """What each answer of the API was, by its state or its code."""
    return re.findall(r'"(?:state|code)":"([a-z-]+)"', said)


def test_clients_are_let_in_by_their_tokens_and_all_begins_anew(desk: Desk) -> None:
    start, fourth, verify = (
        block
        for block in blocks("how-to/authenticate-clients.md")
        if "make" in block or "pay" in block
    )
    up, bank, serve = (line.split("#")[0].strip() for line in start.splitlines())
    assert up == "make up set-up"
    with desk.runs(bank, until="partitions assigned"), desk.serves(serve):
        assert codes(desk.say(fourth)) == ["posted"]
        said = desk.say(f"{fourth}\n{verify}")
        expected = re.findall(r'# .*?"(?:state|code)":"([a-z-]+)"', verify)
        assert codes(said) == ["posted", *expected]
    anew = next(b for b in blocks("how-to/start-over.md") if "WIPE=1" in b)
    desk.say(anew)
    assert desk.say("make psql ARGS='-Atc \"SELECT count(*) FROM transfers\"'") == "0\n"


def test_a_payment_has_one_trace_through_store_and_bank(
    desk: Desk, free_tcp_port: int
) -> None:
    collector, programs, pay = blocks("how-to/trace-a-payment.md")[:3]
    bank, serve = programs.strip().splitlines()
    here = str(free_tcp_port)
    with (
        desk.runs(collector.replace("4318", here), until="listening") as spans,
        desk.runs(bank.replace("4318", here), until="partitions assigned"),
        desk.serves(serve.replace("4318", here)),
    ):
        desk.say(pay)
        wait_until(
            lambda: "once.verdict=POSTED" in spans.read_text(),
            what="the Bank's span",
            timeout_seconds=60,
        )
        wait_until(
            lambda: {"send transfers", "send transfer-results"} <= names(spans),
            what="the other two",
            timeout_seconds=60,
        )
    lines = spans.read_text().splitlines()[1:]
    assert len({line.split()[0] for line in lines}) == 1, lines


def names(spans: Path) -> set[str]:
    """Of what was printed, the spans' own."""
    return set(re.findall(r"^[0-9a-f]{32} (.+?) [0-9.]+ ms", spans.read_text(), re.M))
