"""Which row of `credits` a credit goes to.

A popular payee is credited from every partition at once, so it has a row for each: no
worker waits for another one. With many partitions an ordinary payee would have as many
rows in time, most of them read and never written again; it shares `SHARDS` of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from consumers.bank.batch import Slice

SHARDS = 8
POPULAR_CREDITS = 50  # in one batch of one partition


def of(
    slices: Sequence[Slice], credits: Mapping[int, Mapping[int, int]]
) -> dict[tuple[int, int], int]:
    """Sums by (account, shard), from sums by partition and account."""
    found: dict[tuple[int, int], int] = {}
    for piece in slices:
        partition, sums = piece.partition, credits.get(piece.partition, {})
        if partition < SHARDS:
            own = ((account, partition) for account in sums)
        else:
            count = Counter(piece.transfers.credit_accounts)
            own = (
                (
                    account,
                    (
                        partition
                        if count[account] >= POPULAR_CREDITS
                        else partition % SHARDS
                    ),
                )
                for account in sums
            )
        for place in own:
            found[place] = found.get(place, 0) + sums[place[0]]
    return found
