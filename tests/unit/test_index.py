"""The index: who sent what and the Bank's word on it, whichever comes first."""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from producers.store.index import PRUNED_ROWS_MAX, Index
from producers.store.receipts import Receipt, by_client, new_emitter
from producers.store.states import Sent, State, Status, Verdicts

VERDICTS = Verdicts()
NUMBER = VERDICTS.number
DECIDED = [name for name in VERDICTS.names if VERDICTS.decided(NUMBER[name])]
REPEATS = ["EXISTS", "EXISTS_WITH_DIFFERENT_PAYLOAD", "QUARANTINED", "UNKNOWN"]
A, B = new_emitter(), new_emitter()

Open = Callable[[], Index]


def receipt(client: str = "ada", digest: bytes = b"d" * 16) -> Receipt:
    return Receipt(uuid4().bytes, client, digest)


def sent(index: Index, emitter: bytes, *receipts: Receipt) -> None:
    index.write({emitter: by_client(receipts)}, {}, {})


def said(index: Index, emitter: bytes, transfer_id: bytes, verdict: str) -> None:
    index.write({}, {emitter: [(transfer_id, NUMBER[verdict])]}, {})


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[Open]:
    """Opens the index of this test, as often as asked; closes what is left open."""
    opened: list[Index] = []

    def open_() -> Index:
        opened.append(Index(tmp_path / "store" / "index.db", VERDICTS))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def index(open_index: Open) -> Index:
    return open_index()


class Clock:
    """What the time is, for the index."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("producers.store.index.time", clock)
    return clock


# -- rows ------------------------------------------------------------------------------


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
    index.write({A: by_client([mine])}, {A: [(mine.transfer_id, verdict)]}, {})
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


def test_readers_do_not_wait_for_a_writer(index: Index) -> None:
    mine = receipt()
    sent(index, A, mine)
    index._writer.execute("BEGIN EXCLUSIVE")
    assert index.find([mine.transfer_id]) == [Sent(mine, None)]
    index._writer.execute("ROLLBACK")


# -- positions and the file ------------------------------------------------------------


def test_positions_are_kept_by_topic_and_partition(index: Index) -> None:
    assert index.positions() == {}
    index.write({}, {}, {("receipts", 0): 7, ("receipts", 1): 8, ("results", 0): 9})
    index.write({}, {}, {("receipts", 1): 2**62})
    assert index.positions() == {
        ("receipts", 0): 7,
        ("receipts", 1): 2**62,
        ("results", 0): 9,
    }


def test_positions_are_written_with_the_rows_or_not_at_all(index: Index) -> None:
    """SQLite is interrupted at ever later instructions until it gets through."""
    index.write({}, {}, {("receipts", 0): 7})
    some, broken_off = [receipt("ada"), receipt("ada"), receipt("bob")], 0
    ids = [each.transfer_id for each in some]
    results = {A: [(transfer_id, NUMBER["POSTED"]) for transfer_id in ids]}
    while True:
        left = iter([False] * 3 * broken_off + [True])
        index._writer.set_progress_handler(lambda: next(left, False), 1)
        try:
            index.write({A: by_client(some)}, results, {("receipts", 0): 8})
            break
        except sqlite3.OperationalError:
            assert index.positions() == {("receipts", 0): 7}
            assert index.find(ids) == []
            broken_off += 1
    assert broken_off > 50
    assert index.positions() == {("receipts", 0): 8}
    assert {each.verdict for each in index.find(ids)} == {NUMBER["POSTED"]}


def test_reopening_keeps_all(open_index: Open) -> None:
    before, mine, theirs, early = open_index(), receipt(), receipt("bob"), receipt()
    before.write(
        {A: by_client([mine]), B: by_client([theirs])},
        {
            A: [(mine.transfer_id, NUMBER["POSTED"])],
            B: [(early.transfer_id, NUMBER["EXISTS"])],
        },
        {("receipts", 3): 11},
    )
    before.close()
    after = open_index()
    sent(after, B, early)
    found = after.find([each.transfer_id for each in (mine, theirs, early)])
    assert sorted(found, key=lambda each: each.receipt) == sorted(
        [
            Sent(mine, NUMBER["POSTED"]),
            Sent(theirs, None),
            Sent(early, NUMBER["EXISTS"]),
        ],
        key=lambda each: each.receipt,
    )
    assert after.positions() == {("receipts", 3): 11}


def test_pruning_forgets_what_is_old_and_nothing_else(
    index: Index, clock: Clock
) -> None:
    old, young = receipt(), receipt()
    sent(index, A, old)
    said(index, B, uuid4().bytes, "POSTED")  # whose receipt never came
    clock.now += 100
    sent(index, A, young)
    said(index, A, old.transfer_id, "POSTED")  # first seen when it was sent
    assert index.prune(clock.now - 101) == 0
    assert index.prune(clock.now - 50) == 2
    assert index.find([old.transfer_id, young.transfer_id]) == [Sent(young, None)]
    assert index.prune(clock.now - 50) == 0
    assert index.prune(clock.now + 1) == 1
    assert index.prune(clock.now + 1) == 0, "of nothing, too"


def test_pruning_is_done_in_bounded_pieces(index: Index, clock: Clock) -> None:
    sent(index, A, *(receipt() for _ in range(PRUNED_ROWS_MAX + 5)))
    assert index.prune(clock.now + 1) == PRUNED_ROWS_MAX
    assert index.prune(clock.now + 1) == 5


def test_pruning_keeps_the_positions(index: Index, clock: Clock) -> None:
    index.write({A: by_client([receipt()])}, {}, {("receipts", 0): 7})
    assert index.prune(clock.now + 1) == 1
    assert index.positions() == {("receipts", 0): 7}


# -- what rows mean --------------------------------------------------------------------

MEANING = {
    "UNKNOWN": (State.COMMITTED, None),
    "POSTED": (State.POSTED, None),
    "DECLINED_UNKNOWN_ACCOUNT": (State.DECLINED, "UNKNOWN_ACCOUNT"),
    "DECLINED_ACCOUNT_FROZEN": (State.DECLINED, "ACCOUNT_FROZEN"),
    "DECLINED_ACCOUNT_CLOSED": (State.DECLINED, "ACCOUNT_CLOSED"),
    "DECLINED_INSUFFICIENT_FUNDS": (State.DECLINED, "INSUFFICIENT_FUNDS"),
    "DECLINED_CURRENCY_MISMATCH": (State.DECLINED, "CURRENCY_MISMATCH"),
    "DECLINED_SAME_ACCOUNT": (State.DECLINED, "SAME_ACCOUNT"),
    "DECLINED_AMOUNT_OUT_OF_RANGE": (State.DECLINED, "AMOUNT_OUT_OF_RANGE"),
    "EXISTS": (State.EXISTS, None),
    "EXISTS_WITH_DIFFERENT_PAYLOAD": (State.CONFLICT, None),
    "QUARANTINED": (State.QUARANTINED, None),
}


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
