"""The index: who sent what and the Bank's word on it, whichever comes first."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID

import pytest

from producers.store.facts import Facts
from producers.store.index import Index
from producers.store.receipts import by_client
from producers.store.states import Sent, State, Status
from tests.unit.handles import Handles
from tests.unit.indexes import (
    DECIDED,
    MEANING,
    NUMBER,
    REPEATS,
    VERDICTS,
    A,
    B,
    decided,
    receipt,
    said,
    sent,
)


def test_a_receipt_is_found_and_then_the_verdict_with_it(index: Index) -> None:
    mine = receipt()
    sent(index, A, receipt(), mine)
    assert index.find([mine.transfer_id]) == [Sent(mine, None)]
    said(index, A, mine.transfer_id, "POSTED")
    assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER["POSTED"])]


def test_a_verdict_is_invisible_until_its_receipt_comes(index: Index) -> None:
    mine = receipt()
    said(index, A, mine.transfer_id, "POSTED")
    assert index.find([mine.transfer_id]) == []
    sent(index, A, mine)
    assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER["POSTED"])]


def test_receipt_and_verdict_of_one_write_meet(index: Index) -> None:
    mine = receipt()
    verdict = NUMBER["DECLINED_ACCOUNT_CLOSED"]
    closed = decided(mine.transfer_id, "DECLINED_ACCOUNT_CLOSED")
    index.write(Facts({A: by_client([mine])}, {A: [closed]}))
    assert index.find([mine.transfer_id]) == [Sent(mine, verdict)]


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("decided", DECIDED)
def test_a_decided_verdict_beats_one_on_a_repeat_in_either_order(
    index: Index, decided: str, repeat: str
) -> None:
    for first, second in ((decided, repeat), (repeat, decided)):
        mine = receipt()
        sent(index, A, mine)
        said(index, A, mine.transfer_id, first)
        said(index, A, mine.transfer_id, second)
        assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER[decided])]


def test_a_verdict_that_is_read_twice_is_the_same(index: Index) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, A, mine.transfer_id, "EXISTS")
    said(index, A, mine.transfer_id, "EXISTS_WITH_DIFFERENT_PAYLOAD")
    assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER["EXISTS"])]
    for _ in range(2):
        said(index, A, mine.transfer_id, "POSTED")
    assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER["POSTED"])]


def test_a_receipt_that_is_read_twice_is_one(index: Index) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, A, mine.transfer_id, "POSTED")
    sent(index, A, mine, mine)
    assert index.find([mine.transfer_id]) == [Sent(mine, NUMBER["POSTED"])]


def test_a_receipt_does_not_pass_to_another_client(index: Index) -> None:
    mine = receipt("ada")
    sent(index, A, mine)
    sent(index, A, mine._replace(client="bob", digest=b"e" * 16))
    assert index.find([mine.transfer_id]) == [Sent(mine, None)]


def test_two_clients_under_one_id_are_two_sendings(index: Index) -> None:
    mine = receipt("ada")
    theirs = mine._replace(client="bob", digest=b"e" * 16)
    sent(index, A, mine)
    sent(index, B, theirs)
    said(index, B, mine.transfer_id, "EXISTS_WITH_DIFFERENT_PAYLOAD")
    said(index, A, mine.transfer_id, "POSTED")
    assert sorted(index.find([mine.transfer_id])) == [
        Sent(mine, NUMBER["POSTED"]),
        Sent(theirs, NUMBER["EXISTS_WITH_DIFFERENT_PAYLOAD"]),
    ]


@pytest.mark.parametrize("first", ["POSTED", "DECLINED_INSUFFICIENT_FUNDS"])
def test_what_was_sent_again_by_another_emitter_keeps_its_decision(
    index: Index, first: str
) -> None:
    for order in permutations([(A, first), (B, "EXISTS")]):
        mine = receipt()
        sent(index, A, mine)
        sent(index, B, mine)
        for emitter, verdict in order:
            said(index, emitter, mine.transfer_id, verdict)
        found = index.find([mine.transfer_id])
        assert len(found) == 2
        status = VERDICTS.status(found)
        assert status is not None and status.state in (State.POSTED, State.DECLINED)


def test_the_verdict_of_an_emitter_without_a_receipt_says_nothing_of_ours(
    index: Index,
) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, B, mine.transfer_id, "POSTED")
    assert index.find([mine.transfer_id]) == [Sent(mine, None)]


def test_every_client_of_a_transaction_gets_its_own_receipts(index: Index) -> None:
    names = ["", "ada", "naïve 💶", "o'hara", "[1]"]
    all_ = [receipt(name, bytes([n]) * 16) for n in range(7) for name in names]
    sent(index, A, *all_)
    found = index.find([each.transfer_id for each in all_])
    assert sorted(each.receipt for each in found) == sorted(all_)


def test_thirty_thousand_ids_are_looked_up_at_once(index: Index) -> None:
    mine = receipt()
    sent(index, A, mine)
    unknown = [UUID(int=number).bytes for number in range(29_999)]
    assert index.find([*unknown, mine.transfer_id]) == [Sent(mine, None)]


def test_readers_do_not_wait_for_a_writer(index: Index, handles: Handles) -> None:
    mine = receipt()
    sent(index, A, mine)
    (part,) = handles.parts()
    part.writer.execute("BEGIN EXCLUSIVE")
    assert index.find([mine.transfer_id]) == [Sent(mine, None)]
    part.writer.execute("ROLLBACK")


# -- what was decided before -----------------------------------------------------------


@pytest.mark.parametrize("first", DECIDED)
def test_what_exists_is_told_as_it_was_decided_first(index: Index, first: str) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, A, mine.transfer_id, "EXISTS", first)
    status = VERDICTS.status(index.find([mine.transfer_id]))
    state, reason = MEANING[first]
    assert status == Status(State.EXISTS, mine.digest, reason, state)


@pytest.mark.parametrize("first", REPEATS)
def test_a_first_verdict_that_is_none_tells_nothing(index: Index, first: str) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, A, mine.transfer_id, "EXISTS", first)
    status = VERDICTS.status(index.find([mine.transfer_id]))
    assert status == Status(State.EXISTS, mine.digest)


def test_of_a_conflict_it_is_not_told_what_became_of_the_other_payment(
    index: Index,
) -> None:
    mine = receipt()
    sent(index, A, mine)
    said(index, A, mine.transfer_id, "EXISTS_WITH_DIFFERENT_PAYLOAD", "POSTED")
    status = VERDICTS.status(index.find([mine.transfer_id]))
    assert status == Status(State.CONFLICT, mine.digest)


def test_a_repeat_that_knows_the_first_verdict_beats_one_that_does_not() -> None:
    mine = receipt()
    old = Sent(mine, NUMBER["EXISTS"])
    new = Sent(mine, NUMBER["EXISTS"], NUMBER["POSTED"])
    undecided = Sent(mine, None)
    for order in permutations([old, new]):
        status = VERDICTS.status(order)
        assert status == Status(State.EXISTS, mine.digest, None, State.POSTED)
    for order in permutations([old, new, undecided]):
        assert VERDICTS.status(order) == Status(State.COMMITTED, mine.digest)
