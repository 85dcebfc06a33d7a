"""What the Bank's verdicts mean for a client."""

from __future__ import annotations

from itertools import permutations

import pytest

from producers.store.states import Sent, State, Status
from tests.unit.indexes import (
    DECIDED,
    MEANING,
    NUMBER,
    REPEATS,
    VERDICTS,
    receipt,
)


@pytest.mark.parametrize("name", VERDICTS.names)
def test_every_verdict_of_the_contract_has_a_meaning(name: str) -> None:
    state, reason = MEANING[name]
    mine = receipt()
    status = VERDICTS.status([Sent(mine, NUMBER[name])])
    assert status == Status(state, mine.digest, reason)
    assert status.final == (name != "UNKNOWN")


def test_decided_is_what_moves_money_or_says_why_not() -> None:
    assert set(DECIDED) == set(MEANING) - set(REPEATS)
    assert not VERDICTS.decided(None)


def test_only_queued_and_committed_may_change() -> None:
    assert {state for state in State if not state.final} == {
        State.QUEUED,
        State.COMMITTED,
    }


def test_without_a_sending_there_is_no_status() -> None:
    assert VERDICTS.status([]) is None


def test_without_a_verdict_it_is_committed() -> None:
    mine = receipt()
    again = Sent(mine, None)
    assert VERDICTS.status([again, again]) == Status(State.COMMITTED, mine.digest)


@pytest.mark.parametrize("decided", DECIDED)
@pytest.mark.parametrize("repeat", REPEATS)
def test_the_decision_counts_whatever_became_of_the_repeats(
    decided: str, repeat: str
) -> None:
    first = Sent(receipt(digest=b"1" * 16), NUMBER[decided])
    second = Sent(receipt(digest=b"2" * 16), NUMBER[repeat])
    third = Sent(receipt(digest=b"3" * 16), None)
    state, reason = MEANING[decided]
    for order in permutations([first, second, third]):
        assert VERDICTS.status(order) == Status(state, b"1" * 16, reason)


@pytest.mark.parametrize("undecided", [None, NUMBER["UNKNOWN"]])
@pytest.mark.parametrize("repeat", REPEATS[:3])
def test_nothing_is_final_while_a_sending_may_still_be_the_one_that_decides(
    repeat: str, undecided: int | None
) -> None:
    first = Sent(receipt(digest=b"1" * 16), undecided)
    second = Sent(receipt(digest=b"2" * 16), NUMBER[repeat])
    for order in permutations([first, second]):
        assert VERDICTS.status(order) == Status(State.COMMITTED, b"1" * 16)
