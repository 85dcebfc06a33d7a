"""Gaps in an emitter's numbers are found; repeats and foreigners are none."""

from __future__ import annotations

from once.sequence import Gap, follow

A, B = b"a" * 16, b"b" * 16


def test_consecutive_numbers_move_the_mark() -> None:
    assert follow({A: 3}, [A, A], [3, 4], [10, 11]) == ({A: 5}, [])


def test_a_new_emitter_starts_at_zero() -> None:
    assert follow({}, [A], [0], [10]) == ({A: 1}, [])
    assert follow({}, [A], [2], [10]) == ({A: 3}, [Gap(A, 10, 0, 2)])


def test_a_hole_is_found_among_interleaved_emitters() -> None:
    marks, gaps = follow({A: 0, B: 7}, [A, B, A, B], [0, 7, 2, 8], [1, 2, 3, 4])
    assert marks == {A: 3, B: 9}
    assert gaps == [Gap(A, 3, 1, 2)]


def test_a_number_seen_again_is_no_gap() -> None:
    assert follow({A: 5}, [A, A], [3, 5], [1, 2]) == ({A: 6}, [])


def test_the_largest_number_there_is_does_not_overflow_the_mark() -> None:
    last = 2**63 - 1
    marks, gaps = follow({}, [A], [last], [1])
    assert marks == {A: last}
    assert gaps == [Gap(A, 1, 0, last)]
    assert follow(marks, [A], [last], [2]) == ({A: last}, [])


def test_records_without_an_emitter_are_exempt() -> None:
    assert follow({}, [None, None], [0, 0], [1, 2]) == ({}, [])
