"""Changes of accounts: the history beside the log, and every verdict judged again.

Written apart from consumers/bank/account_rules.py, after docs/glossary.md: a card for
each account is kept through its history, and each change is looked at on the card as
it was then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import NamedTuple

import numpy as np

from consumers.bank.audit.decisions import NONE, TOLD, Spans
from consumers.bank.audit.judge import CLOSES, NAMES, Judge
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.sums import Open
from consumers.bank.change import Asked, Change

CREDIT_LIMIT_MAX = 10**18
EXISTS, DIFFERENT = 9, 10
UNKNOWN_ACCOUNT, ACCOUNT_CLOSED, NO_FUNDS, OTHER_CURRENCY, OUT_OF_RANGE = 2, 4, 5, 6, 8
CHANGED, ACCOUNT_EXISTS, NOT_EMPTY = 12, 13, 14


class Terms(NamedTuple):
    """What an account may do."""

    currency: str | None
    status: str | None
    credit_limit: int | None


NOBODY = Terms(None, None, None)


class ChangeRow(NamedTuple):
    """One row of the history; without a record behind it where `change_id` is None."""

    change: int  # the order of deciding
    account: int
    epoch: int
    change_id: bytes | None
    verdict: int
    asked: Asked
    after: Terms
    created_at_ms: int | None
    partition: int
    offset: int


_Decided = tuple[ChangeRow, int, int]  # number and epoch of the decision about it


@dataclass(slots=True)
class Following:
    """Compares the changes in the log with their rows."""

    topic: str
    evidence: Evidence

    def verdict(
        self, where: tuple[int, int], change: Change, row: ChangeRow | None
    ) -> tuple[int, bool]:
        """The verdict on the change at a partition and offset, and whether the row is
        its own. 0 where there is none."""
        here = f"{self.topic}[{where[0]}]@{where[1]}"
        if row is None:
            self.evidence.broken("I1", f"{here} changes an account, and is in no row")
            return 0, False
        asked = change.asked
        if (row.partition, row.offset) != where:
            return (EXISTS if row.asked == asked else DIFFERENT), False
        if (row.asked, row.created_at_ms) != (asked, change.created_at_ms):
            said = f"the history has {tuple(row.asked)}, the log {tuple(asked)}"
            self.evidence.broken("I3", f"{here}: {said}")
        return row.verdict, True


class ChangeJudge:
    """I11 of changes, I7 of their order, and I3 of what nobody asked for."""

    def __init__(
        self,
        topic: str,
        judge: Judge,
        spans: Callable[[int], Spans],
        by_hand_until: int,
    ) -> None:
        """`by_hand_until`: the last row that was written by hand, before the log."""
        self._topic = topic
        self._judge = judge
        self._spans = spans
        self._by_hand_until = by_hand_until
        self._known: dict[int, Spans] = {}

    def hear(self, pieces: Iterable[Sequence[ChangeRow]], evidence: Evidence) -> None:
        """All of the history, in the order of account and deciding."""
        decided = chain.from_iterable(map(self._decided, pieces))
        for account, mine in groupby(decided, lambda each: each[0].account):
            self._account(account, mine, evidence)

    def _decided(self, rows: Sequence[ChangeRow]) -> Iterator[_Decided]:
        """Each row with the number and the epoch of the decision about it."""
        partitions = np.array([row.partition for row in rows], np.int64)
        offsets = np.array([row.offset for row in rows], np.int64)
        numbers, epochs = np.full((2, len(rows)), NONE)
        for partition in np.unique(partitions[partitions >= 0]).tolist():
            mine = partitions == partition
            if partition not in self._known:
                self._known[partition] = self._spans(partition)
            numbers[mine], epochs[mine] = self._known[partition].find(offsets[mine])
        return zip(rows, numbers.tolist(), epochs.tolist(), strict=True)

    def _account(
        self, account: int, rows: Iterable[_Decided], evidence: Evidence
    ) -> None:
        card: Terms | None = None
        reached: dict[int, int] = {}
        since = 0
        for row, number, epoch in rows:
            if row.epoch < since:
                said = f"account {account} was changed in epoch {row.epoch}"
                evidence.broken("I11", f"{said}, behind a change in {since}")
            since = row.epoch
            if row.change_id is None:
                if row.change > self._by_hand_until:
                    said = f"account {account} was changed in epoch {row.epoch}"
                    evidence.broken("I3", f"{said}, and no record asked for it")
                card = None if row.after.status == "removed" else row.after
                continue
            here = f"{self._topic}[{row.partition}]@{row.offset}"
            if row.offset <= reached.get(row.partition, -1):
                before = reached[row.partition]
                evidence.broken("I7", f"{here} was decided after offset {before}")
            reached[row.partition] = row.offset
            if number == NONE:
                self._judge.unjudged += 1
            else:
                evidence.saw("I11")
                self._one((row, number, epoch), card, here, evidence)
            if row.verdict == CHANGED:
                card = row.after

    def _one(
        self, decided: _Decided, card: Terms | None, here: str, evidence: Evidence
    ) -> None:
        row, number, epoch = decided
        wanted, due = right(row, card)
        if row.verdict != CHANGED:
            due = card or NOBODY
        if row.after != due:
            stands = f"it is {tuple(row.after)}, and should be {tuple(due)}"
            evidence.broken("I11", f"account {row.account} after {here}: {stands}")
        if epoch == TOLD:
            self._judge.told += 1
            return
        if row.epoch != epoch + 1:
            when = f"in epoch {row.epoch}, and was decided in {epoch}"
            evidence.broken("I11", f"{here} took effect {when}")
        no = NOT_EMPTY if row.asked.status == "closed" else NO_FUNDS
        if wanted is None and row.verdict in (CHANGED, no):
            self._by_money(row, number)
        elif row.verdict != wanted:
            due_ = NAMES[CHANGED if wanted is None else wanted]
            said = f"{here} is {NAMES.get(row.verdict)}, but {due_} was right"
            evidence.broken("I11", said)

    def _by_money(self, row: ChangeRow, number: int) -> None:
        """What is on the account decides: it is summed up with the transfers'."""
        closing = row.asked.status == "closed"
        verdict = CLOSES if closing and row.verdict == CHANGED else row.verdict
        limit = 0 if closing else row.asked.credit_limit or 0
        columns = (row.account, row.partition, row.offset, number, limit, 0, verdict)
        self._judge.sum_later(Open(*(np.array([each], np.int64) for each in columns)))


def right(row: ChangeRow, card: Terms | None) -> tuple[int | None, Terms]:
    """The only right verdict, None where money decides; the card if it is CHANGED."""
    _, must_be_new, currency, limit, status, _, _ = row.asked
    if card is None:
        due = Terms(currency, status or "open", limit or 0)
    else:
        due = Terms(
            card.currency,
            card.status if status is None else status,
            card.credit_limit if limit is None else limit,
        )
    if limit is not None and not 0 <= limit <= CREDIT_LIMIT_MAX:
        return OUT_OF_RANGE, due
    if card is None:
        return (UNKNOWN_ACCOUNT if currency is None else CHANGED), due
    if must_be_new:
        return ACCOUNT_EXISTS, due
    if card.status == "closed":
        return ACCOUNT_CLOSED, due
    if currency is not None and currency != card.currency:
        return OTHER_CURRENCY, due
    assert due.credit_limit is not None and card.credit_limit is not None
    money = status == "closed" or due.credit_limit < card.credit_limit
    return (None if money else CHANGED), due
