"""What accounts had available, as each decider saw it at least and at most.

Accounts come one after the other out of one sorted reading of the ledger, some at a
time; memory holds what moved the money of those, and what their decisions saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from consumers.bank.audit.decisions import Decision, views
from consumers.bank.audit.judged import Numbers

ROWS_AT_ONCE = 20_000


class Events(NamedTuple):
    """What moved the money of one account: one row per posted transfer."""

    partitions: Numbers
    offsets: Numbers
    amounts: Numbers  # negative: it paid


class Open(NamedTuple):
    """Verdicts that only the sum of an account can judge, by column."""

    accounts: Numbers  # whose sum it is
    partitions: Numbers
    offsets: Numbers
    numbers: Numbers  # of the decision
    limits: Numbers  # the account's credit_limit then
    amounts: Numbers
    verdicts: Numbers


# Of these accounts, one after the other, in ascending order; some have none.
FindEvents = Callable[[Numbers], Iterator[tuple[int, Events]]]
FindDecisions = Callable[[Sequence[int]], Mapping[int, Decision]]
Summed = tuple[Open, Numbers, Numbers]  # rows; available at least, and at most


def available(
    rows: Open, events: FindEvents, decisions: FindDecisions
) -> Iterator[Summed]:
    """Sum up the account of every row, some rows at a time."""
    order = np.argsort(rows.accounts, kind="stable")
    rows = Open(*(column[order] for column in rows))
    accounts, starts = np.unique(rows.accounts, return_index=True)
    bounds = np.append(starts, len(rows.accounts)).tolist()
    moved = _of_all(accounts, events(accounts))
    at = 0
    while at < len(accounts):
        until = at + 1
        while until < len(accounts) and bounds[until] - bounds[at] < ROWS_AT_ONCE:
            until += 1
        mine = Open(*(column[bounds[at] : bounds[until]] for column in rows))
        saw = decisions(np.unique(mine.numbers).tolist())
        columns, least, most = views(saw, mine.numbers, mine.partitions)
        sums = np.stack((mine.limits, mine.limits))
        for account in range(at, until):
            part = slice(bounds[account] - bounds[at], bounds[account + 1] - bounds[at])
            those = Open(*(column[part] for column in mine))
            sums[:, part] += _moved(
                next(moved), those, columns, (least[part], most[part])
            )
        yield mine, sums[0], sums[1]
        at = until


def _of_all(accounts: Numbers, found: Iterator[tuple[int, Events]]) -> Iterator[Events]:
    """The same with those that nothing has moved."""
    nothing = Events(*(np.zeros(0, np.int64) for _ in Events._fields))
    following = next(found, None)
    for account in accounts.tolist():
        if following is not None and following[0] == account:
            yield following[1]
            following = next(found, None)
        else:
            yield nothing


def _moved(
    events: Events, rows: Open, columns: Sequence[int], seen: tuple[Numbers, Numbers]
) -> Numbers:
    """What came in and went out below what each row saw, at least and at most.

    The least has the credits that were seen for sure, and all debits that may have
    been: a payer may be debited in several partitions.
    """
    sums = np.zeros((2, len(rows.offsets)), np.int64)
    least, most = seen
    for other in np.unique(events.partitions).tolist():
        column = columns.index(other) if other in columns else None
        for paid in (False, True):
            mine = (events.partitions == other) & ((events.amounts < 0) == paid)
            offsets, amounts = events.offsets[mine], events.amounts[mine]
            order = np.argsort(offsets, kind="stable")
            running = np.concatenate(([0], np.cumsum(amounts[order])))
            for side, table in enumerate((most if paid else least, most)):
                limit = table[:, column] if column is not None else 0
                ends = np.where(rows.partitions == other, rows.offsets, limit)
                sums[side] += running[np.searchsorted(offsets[order], ends, "left")]
    return sums
