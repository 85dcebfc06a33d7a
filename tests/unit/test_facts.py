"""What is missing of a range, whatever was read of it before."""

from __future__ import annotations

import random

import pytest

from producers.store.facts import Place, Range, missing

HERE, THERE = Place("a", 0), Place("a", 1)
WANTED = Range(HERE, 10, 20)


@pytest.mark.parametrize(
    ("held", "gaps"),
    [
        ([], [(10, 20)]),
        ([(0, 10), (20, 30)], [(10, 20)]),
        ([(10, 20)], []),
        ([(0, 30)], []),
        ([(0, 12), (18, 25)], [(12, 18)]),
        ([(14, 16)], [(10, 14), (16, 20)]),
        ([(16, 18), (12, 14)], [(10, 12), (14, 16), (18, 20)]),
        ([(10, 15), (12, 14), (15, 20)], []),
        ([(12, 12)], [(10, 12), (12, 20)]),
    ],
)
def test_what_is_missing(
    held: list[tuple[int, int]], gaps: list[tuple[int, int]]
) -> None:
    ranges = [Range(HERE, *each) for each in held]
    assert missing(WANTED, ranges) == [Range(HERE, *each) for each in gaps]


def test_other_partitions_and_a_topic_that_was_made_anew_have_nothing_of_it() -> None:
    held = [Range(THERE, 0, 30), Range(Place("b", 0), 0, 30)]
    assert missing(WANTED, held) == [WANTED]


def test_nothing_is_missing_of_nothing() -> None:
    assert missing(Range(HERE, 10, 10), []) == []
    assert missing(Range(HERE, 10, 5), []) == []


def test_the_gaps_are_just_the_offsets_that_no_range_has() -> None:
    chance = random.Random(7)
    for _ in range(500):
        starts = [chance.randrange(30) for _ in range(chance.randrange(6))]
        held = [Range(HERE, at, at + chance.randrange(8)) for at in starts]
        read = {n for each in held for n in range(each.first, each.end)}
        gaps = missing(WANTED, held)
        found = [n for gap in gaps for n in range(gap.first, gap.end)]
        assert found == [n for n in range(10, 20) if n not in read]
