"""I11: every verdict was right when it was given, by what its decider saw then.

Written apart from consumers/bank/rules.py, after docs/glossary.md. What an account
might do follows from the history of accounts; whether a payer could pay is summed up
from the ledger's rows, but only where it could not pay without being paid, or was
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from consumers.bank.audit.decisions import NO_SPANS, NONE, Decision, Spans
from consumers.bank.audit.judged import Numbers, Rows
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.terms import CLOSED, FROZEN, UNKNOWN, Terms

Mask = npt.NDArray[np.bool_]

AMOUNT_MAX = 10**12
SUM_MAX = 4 * 10**18
ACCOUNTS_AT_ONCE = 20_000

MONEY_DECIDES = 0  # no other reason than money
POSTED, UNKNOWN_ACCOUNT, ACCOUNT_FROZEN, ACCOUNT_CLOSED, NO_FUNDS = 1, 2, 3, 4, 5
OTHER_CURRENCY, SAME_ACCOUNT, OUT_OF_RANGE = 6, 7, 8
NAMES = {
    MONEY_DECIDES: "POSTED or a decline for money",
    POSTED: "POSTED",
    UNKNOWN_ACCOUNT: "DECLINED_UNKNOWN_ACCOUNT",
    ACCOUNT_FROZEN: "DECLINED_ACCOUNT_FROZEN",
    ACCOUNT_CLOSED: "DECLINED_ACCOUNT_CLOSED",
    NO_FUNDS: "DECLINED_INSUFFICIENT_FUNDS",
    OTHER_CURRENCY: "DECLINED_CURRENCY_MISMATCH",
    SAME_ACCOUNT: "DECLINED_SAME_ACCOUNT",
    OUT_OF_RANGE: "DECLINED_AMOUNT_OUT_OF_RANGE",
}


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


class _Heard(NamedTuple):
    """Rows of one partition, with what held when they were decided."""

    partition: int
    rows: Rows
    numbers: Numbers  # of the decisions
    payers: Numbers  # which change of the payer held
    payees: Numbers


# Of these accounts, one after the other, in ascending order.
FindEvents = Callable[[Sequence[int]], Iterator[tuple[int, Events]]]
FindDecisions = Callable[[Sequence[int]], Mapping[int, Decision]]


class Judge:
    """Hears rows partition by partition, and sums accounts up at the end."""

    def __init__(
        self, terms: Terms, spans: Mapping[int, Spans], topic: str, evidence: Evidence
    ) -> None:
        self._terms = terms
        self._spans = spans
        self._topic = topic
        self._evidence = evidence
        self._open: list[Open] = []
        self.unjudged = 0  # rows of which it was not kept what their decider saw

    def hear(self, partition: int, rows: Rows) -> None:
        """Judge rows of one partition; those that need a sum are kept until `close`."""
        numbers, epochs = self._spans.get(partition, NO_SPANS).find(rows.offsets)
        known = numbers != NONE
        self.unjudged += int((~known).sum())
        if not known.all():
            rows = Rows(*(column[known] for column in rows))
            numbers, epochs = numbers[known], epochs[known]
        self._evidence.saw("I11", len(numbers))
        heard = _Heard(
            partition,
            rows,
            numbers,
            payers=self._terms.at(rows.payers, epochs),
            payees=self._terms.at(rows.payees, epochs),
        )
        wanted = self._reasons(heard)
        money = wanted == MONEY_DECIDES
        wrong = np.where(
            money, ~np.isin(rows.verdicts, (POSTED, NO_FUNDS, OUT_OF_RANGE)), False
        ) | (~money & (rows.verdicts != wanted))
        for row in np.flatnonzero(wrong).tolist():
            self._broken(
                partition,
                int(rows.offsets[row]),
                int(rows.verdicts[row]),
                f"{NAMES[int(wanted[row])]} was right",
            )
        self._keep(heard, money & ~wrong)

    def close(self, events: FindEvents, decisions: FindDecisions) -> None:
        """Sum up what is open, and judge it."""
        if not self._open:
            return
        columns = zip(*self._open, strict=True)
        left = Open(*(np.concatenate(column) for column in columns))
        order = np.argsort(left.accounts, kind="stable")
        left = Open(*(column[order] for column in left))
        accounts, starts = np.unique(left.accounts, return_index=True)
        ends = [*starts[1:].tolist(), len(left.accounts)]
        for at in range(0, len(accounts), ACCOUNTS_AT_ONCE):
            until = min(at + ACCOUNTS_AT_ONCE, len(accounts))
            mine = slice(int(starts[at]), ends[until - 1])
            seen = decisions(np.unique(left.numbers[mine]).tolist())
            chunk = {
                int(accounts[i]): Open(
                    *(column[int(starts[i]) : ends[i]] for column in left)
                )
                for i in range(at, until)
            }
            for account, moved in events(list(chunk)):
                self._judge(chunk.pop(account), moved, seen)
            for rest in chunk.values():  # nobody paid them, and they paid nobody
                self._judge(rest, NOTHING, seen)

    def _reasons(self, heard: _Heard) -> Numbers:
        """The only right verdict by everything but money; the first reason counts."""
        _, rows, _, payers, payees = heard
        statuses, currencies = self._terms.statuses, self._terms.currencies
        conditions: list[tuple[Mask, int]] = [
            (rows.payers == rows.payees, SAME_ACCOUNT),
            ((rows.amounts <= 0) | (rows.amounts > AMOUNT_MAX), OUT_OF_RANGE),
            ((payers == UNKNOWN) | (payees == UNKNOWN), UNKNOWN_ACCOUNT),
            (
                (statuses[payers] == CLOSED) | (statuses[payees] == CLOSED),
                ACCOUNT_CLOSED,
            ),
            (
                (statuses[payers] == FROZEN) | (statuses[payees] == FROZEN),
                ACCOUNT_FROZEN,
            ),
            (
                (currencies[payers] != rows.currencies)
                | (currencies[payees] != rows.currencies),
                OTHER_CURRENCY,
            ),
        ]
        masks, reasons = zip(*conditions, strict=True)
        return np.select(masks, reasons, MONEY_DECIDES)

    def _keep(self, heard: _Heard, money: Mask) -> None:
        """Keep what cannot be judged by the row and the limit alone."""
        partition, rows, numbers, payers, payees = heard
        posted = rows.verdicts == POSTED
        limits = self._terms.limits[payers]
        before = rows.debits_after - np.where(posted, rows.amounts, 0)
        covered = rows.amounts <= limits - before  # if nobody had ever paid the payer
        full = rows.verdicts == OUT_OF_RANGE
        by_payer = money & ((posted & ~covered) | (rows.verdicts == NO_FUNDS))
        by_payee = money & full & (before <= SUM_MAX)
        for mask, accounts, change in (
            (by_payer, rows.payers, payers),
            (by_payee, rows.payees, payees),
        ):
            if mask.any():
                self._open.append(
                    Open(
                        accounts[mask],
                        np.full(int(mask.sum()), partition),
                        rows.offsets[mask],
                        numbers[mask],
                        self._terms.limits[change[mask]],
                        rows.amounts[mask],
                        rows.verdicts[mask],
                    )
                )

    def _judge(
        self, rows: Open, moved: Events, decisions: Mapping[int, Decision]
    ) -> None:
        """All open verdicts that one account's sum decides."""
        # A sum that was remembered is older, so smaller than at the end: an approval by
        # it is right. Funds are missed by one that was read after the beginning only.
        available = rows.limits + _seen(rows, moved, decisions)
        right = np.select(
            [rows.verdicts == POSTED, rows.verdicts == NO_FUNDS],
            [available >= rows.amounts, available < rows.amounts],
            available > SUM_MAX,
        )
        for row in np.flatnonzero(~right).tolist():
            account, has, amount = (
                int(column[row]) for column in (rows.accounts, available, rows.amounts)
            )
            self._broken(
                int(rows.partitions[row]),
                int(rows.offsets[row]),
                int(rows.verdicts[row]),
                f"account {account} had {has} available, and {amount} was asked for",
            )

    def _broken(self, partition: int, offset: int, verdict: int, why: str) -> None:
        where = f"{self._topic}[{partition}]@{offset}"
        self._evidence.broken("I11", f"{where} is {NAMES[verdict]}, but {why}")


NOTHING = Events(*(np.zeros(0, np.int64) for _ in Events._fields))


def _seen(rows: Open, moved: Events, decisions: Mapping[int, Decision]) -> Numbers:
    """What the account had been paid, less what it had paid, as each decider saw it:

    at least, where funds were missed, and at most elsewhere.
    """
    sums = np.zeros(len(rows.offsets), np.int64)
    views: dict[tuple[int, int, bool], dict[int, int]] = {}
    limits = []
    for number, partition, offset, verdict in zip(
        rows.numbers.tolist(),
        rows.partitions.tolist(),
        rows.offsets.tolist(),
        rows.verdicts.tolist(),
        strict=True,
    ):
        at = (number, partition, least := verdict == NO_FUNDS)
        if at not in views:
            saw = decisions[number]
            views[at] = saw.view(partition, saw.before if least else saw.after)
        limits.append((views[at], partition, offset))
    for other in np.unique(moved.partitions).tolist():
        mine = moved.partitions == other
        offsets, amounts = moved.offsets[mine], moved.amounts[mine]
        order = np.argsort(offsets, kind="stable")
        running = np.concatenate(([0], np.cumsum(amounts[order])))
        ends = [
            offset if partition == other else view.get(other, 0)
            for view, partition, offset in limits
        ]
        sums += running[np.searchsorted(offsets[order], ends, "left")]
    return sums
