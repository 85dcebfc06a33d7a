"""The filter before the index's files: "no" is certain, "yes" is rarely wrong."""

from __future__ import annotations

import tracemalloc
from uuid import UUID, uuid4

import numpy as np

from producers.store.idfilter import BITS_PER_ID, IdFilter, IdHash
from producers.store.ids import uuid7s


def test_an_id_that_was_added_is_never_missed() -> None:
    hash_ = IdHash(2_000)
    ids = [uuid4().bytes for _ in range(1_000)]
    ids += uuid7s(1_000, 1_000_000, np.random.default_rng(7))
    ids += [UUID(int=n).bytes for n in (1, 2**64, 2**128 - 1)]
    filter_ = IdFilter(hash_)
    assert filter_.among(hash_.ask(ids)) == []
    for at in range(0, len(ids), 97):
        filter_.add(b"".join(ids[at : at + 97]))
    assert filter_.among(hash_.ask(ids)) == ids
    assert all(filter_.among(hash_.ask([each])) == [each] for each in ids)


def test_one_id_and_many_have_the_same_bits() -> None:
    hash_ = IdHash(1_000_000)
    ids = [uuid4().bytes for _ in range(50)]
    many = hash_.all_probes(b"".join(ids)).reshape(3, 50)
    assert [tuple(map(int, column)) for column in many.T] == [
        hash_.probes(each) for each in ids
    ]
    assert hash_.all_probes(b"").size == 0


def test_few_ids_and_many_are_told_the_same() -> None:
    hash_ = IdHash(1_000)
    filter_ = IdFilter(hash_)
    filter_.add(
        b"".join(uuid4().bytes for _ in range(30_000))
    )  # too full: yes is frequent
    others = [uuid4().bytes for _ in range(1_000)]
    one_by_one = [each for each in others if filter_.among(hash_.ask([each]))]
    assert filter_.among(hash_.ask(others)) == one_by_one
    assert 0 < len(one_by_one) < len(others)


def test_few_of_the_others_are_worth_a_look_however_alike_they_are() -> None:
    hash_ = IdHash((1 << 17) // BITS_PER_ID)
    held = [UUID(int=2 * n + 1).bytes for n in range((1 << 17) // BITS_PER_ID)]
    filter_ = IdFilter(hash_)
    filter_.add(b"".join(held))
    others = [UUID(int=2 * n + 2).bytes for n in range(5_000)]
    others += [uuid4().bytes for _ in range(5_000)]
    assert len(filter_.among(hash_.ask(others))) < 0.04 * len(others)


def test_two_stores_have_different_bits() -> None:
    one, two = IdHash(1_000), IdHash(1_000)
    ids = [uuid4().bytes for _ in range(20)]
    assert [one.probes(each) for each in ids] != [two.probes(each) for each in ids]


def test_it_takes_the_memory_that_its_size_says_and_no_more() -> None:
    hash_ = IdHash(1_000_000)
    tracemalloc.start()
    try:
        filter_ = IdFilter(hash_)
        for _ in range(20):
            filter_.add(b"".join(uuid4().bytes for _ in range(1_000)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.1 * (1 << hash_.bits_log2 - 3)
