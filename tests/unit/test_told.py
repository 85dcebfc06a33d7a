"""What was told is kept by the partition, and given out in the order of the log."""

from __future__ import annotations

import numpy as np
import pytest

from consumers.bank.batch import Numbered, Records, Slice
from consumers.bank.codec import Fault, Reason
from consumers.bank.rules import Transfers
from consumers.bank.told import NOT_TOLD, Told, Unopened, Verdicts
from once.errors import Refused
from once.published import Published

POSTED, QUARANTINED = 1, 11


def numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def published(partition: int, offsets: list[int], verdicts: list[int]) -> Published:
    none = numbers(*([0] * len(offsets)))
    ids = bytes(16 * len(offsets))
    told = numbers(*offsets), ids, numbers(*verdicts)
    return Published(partition, *told, none, None)


def records(partition: int, *offsets: int) -> Records:
    rows = len(offsets)
    return Records(partition, list(offsets), [b"1"] * rows, [b"v"] * rows, [])


def a_slice(partition: int, *offsets: int, faulty: tuple[int, ...] = ()) -> Slice:
    good = [offset for offset in offsets if offset not in faulty]
    rows = len(good)
    return Slice(
        records=records(partition, *offsets),
        ids=[bytes(16)] * len(offsets),
        emitters=[None] * len(offsets),
        faults={offsets.index(o): Fault(Reason.BAD_BYTES, "torn") for o in faulty},
        transfers=Transfers(
            partition,
            [bytes(16)] * rows,
            [1] * rows,
            [2] * rows,
            [7] * rows,
            [b"EUR"] * rows,
            [""] * rows,
        ),
        offsets=good,
        created_at_ms=[0] * rows,
        numbered=Numbered([], [], []),
    )


@pytest.fixture
def told() -> Told:
    told = Told("transfers")
    told.expect(0, 10)
    told.take(2, published(0, [8, 9, 10, 11], [POSTED, QUARANTINED, 3, 4]))
    told.take(2, published(0, [1, 2, 5], [5, 6, 7]))
    told.take(2, published(3, [2], [POSTED]))
    return told


def test_verdicts_come_in_any_order_and_are_found_by_offset() -> None:
    verdicts = Verdicts()
    assert verdicts.of([4]) == [NOT_TOLD]
    verdicts.add(numbers(7, 9), numbers(1, 2))
    verdicts.add(numbers(), numbers())
    verdicts.add(numbers(2), numbers(3))
    assert verdicts.of([9, 2, 3, 10, 7]) == [2, 3, NOT_TOLD, NOT_TOLD, 1]


def test_what_is_below_the_position_or_behind_the_offset_is_not_kept(
    told: Told,
) -> None:
    asked = [1, 2, 5, 8, 9, 10, 11]
    expected = [NOT_TOLD, 6, 7, POSTED, QUARANTINED, NOT_TOLD, NOT_TOLD]
    assert told.told(0, asked) == expected


def test_a_record_without_a_result_is_refused_by_name(told: Told) -> None:
    with pytest.raises(Refused, match=r"no result of transfers\[0\]@6 is in"):
        told.verdicts([a_slice(0, 5, 6)])


def test_what_was_set_aside_stays_aside_and_what_was_not_must_be_readable(
    told: Told,
) -> None:
    assert set(told.unread([a_slice(0, 8, 9)])[0]) == {9}
    assert told.unread([a_slice(0, 8, 9, faulty=(9,))]) == {}
    with pytest.raises(Refused, match=r"@8 was read when it was decided"):
        told.unread([a_slice(0, 8, 9, faulty=(8, 9))])


def test_what_is_postponed_comes_first_and_keeps_its_partition_open(
    told: Told,
) -> None:
    (first,), (behind,) = told.split([records(0, 5, 8, 9, 12)])
    assert (first.offsets, behind.offsets) == ([5, 8, 9], [12])
    told.postpone(first, Unopened("account 7 is not there", 0))
    assert told.ended({0: 5}, [behind]) == [], "what was told is not applied yet"
    paused: list[int] = []
    assert told.held([behind], paused.extend, lambda partitions: None) == []

    (again,), rest = told.split([])
    assert again.offsets == [5, 8, 9] and rest == []
    assert told.applied(0) and not told.applied(0)
    assert told.ended({0: 10}, []) == [0]
    (given,) = told.held([], paused.extend, lambda partitions: None)
    assert given.offsets == [12]


def test_what_may_open_the_account_that_is_waited_for_is_not_held_back(
    told: Told,
) -> None:
    told.expect(3, 3)
    (first,), (behind,) = told.split([records(0, 5), records(1, 7)])
    told.postpone(first, Unopened("account 7 is not there", 0))
    paused: list[int] = []
    assert told.held([behind], paused.extend, lambda partitions: None) == []
    assert paused == [1], "partition 3 may open it"
    told.forget([3])
    (first,), _ = told.split([])
    told.postpone(first, Unopened("account 7 is not there", 0))
    (given,) = told.held([], paused.extend, lambda partitions: None)
    assert (given.partition, given.offsets) == (1, [7])


def test_nothing_waits_for_an_account_without_end(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.bank.told.ACCOUNT_SECONDS_MAX", -1.0)
    with pytest.raises(Unopened, match="account 7"):
        told.postpone(records(0, 5), Unopened("account 7 is not there", 0))
