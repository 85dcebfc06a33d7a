"""Credits of popular payees never wait for each other, those of others stay few."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from consumers.bank import shards

partitions = st.dictionaries(
    st.integers(0, 200), st.lists(st.integers(1, 20), max_size=200), max_size=5
)


def made(payees: dict[int, list[int]]) -> tuple[Any, dict[int, dict[int, int]]]:
    """Slices with these payees by partition, and a cent for each credit."""
    slices = [
        SimpleNamespace(partition=p, transfers=SimpleNamespace(credit_accounts=mine))
        for p, mine in payees.items()
    ]
    sums = {p: {n: mine.count(n) for n in set(mine)} for p, mine in payees.items()}
    return cast(Any, slices), sums


@given(partitions)
def test_no_money_is_lost_on_the_way_to_its_row(payees: dict[int, list[int]]) -> None:
    found = shards.of(*made(payees))
    for account in range(1, 21):
        mine = sum(total for (n, _), total in found.items() if n == account)
        assert mine == sum(each.count(account) for each in payees.values())


@given(partitions)
def test_only_the_popular_have_a_row_in_a_high_shard(
    payees: dict[int, list[int]],
) -> None:
    for account, shard in shards.of(*made(payees)):
        if shard >= shards.SHARDS:
            assert payees[shard].count(account) >= shards.POPULAR_CREDITS


def test_with_few_partitions_each_has_its_own_row() -> None:
    found = shards.of(*made({3: [7], 5: [7] * 99}))
    assert found == {(7, 3): 1, (7, 5): 99}
