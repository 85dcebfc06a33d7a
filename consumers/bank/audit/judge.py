"""I11: every verdict was right when it was given, by what its decider saw then.

Written apart from consumers/bank/rules.py, after docs/glossary.md. What an account
might do follows from the history of accounts; whether a payer could pay is summed up
from the ledger's rows (sums.py), but only where it could not pay without being paid, or
was refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from consumers.bank.audit.decisions import NONE, TOLD, Spans
from consumers.bank.audit.judged import Numbers, Rows
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.sums import FindDecisions, FindEvents, Open, available
from consumers.bank.audit.terms import CLOSED, FROZEN, UNKNOWN, Terms

Mask = npt.NDArray[np.bool_]

AMOUNT_MAX = 10**12
SUM_MAX = 4 * 10**18

MONEY_DECIDES = 0  # no other reason than money
POSTED, UNKNOWN_ACCOUNT, ACCOUNT_FROZEN, ACCOUNT_CLOSED, NO_FUNDS = 1, 2, 3, 4, 5
OTHER_CURRENCY, SAME_ACCOUNT, OUT_OF_RANGE = 6, 7, 8
CHANGED, ACCOUNT_EXISTS, NOT_EMPTY = 12, 13, 14
CLOSES = -CHANGED  # the same verdict, on a change that needs an empty account
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
    CHANGED: "CHANGED",
    CLOSES: "CHANGED",
    ACCOUNT_EXISTS: "DECLINED_ACCOUNT_EXISTS",
    NOT_EMPTY: "DECLINED_ACCOUNT_NOT_EMPTY",
}


OPEN_ROWS_MAX = 500_000  # about 100 MB while they are summed up


class Kept(NamedTuple):
    """What the ledger has kept to judge verdicts by."""

    terms: Terms
    spans: Callable[[int], Spans]  # the decisions of a partition, asked once for each
    events: FindEvents
    decisions: FindDecisions


class _Heard(NamedTuple):
    """Rows of one partition, with what held when they were decided."""

    partition: int
    rows: Rows
    numbers: Numbers  # of the decisions
    payers: Numbers  # which change of the payer held
    payees: Numbers


class Judge:
    """Hears rows partition by partition; `sum_up` when all are heard."""

    def __init__(self, kept: Kept, topic: str, evidence: Evidence) -> None:
        self._kept = kept
        self._terms = kept.terms
        self._spans: tuple[int, Spans] | None = None
        self._topic = topic
        self._evidence = evidence
        self._open: list[Open] = []
        self.unjudged = 0  # rows of which it was not kept what their decider saw
        self.told = 0  # rows that nobody decided: the results of an older ledger did

    def hear(self, partition: int, rows: Rows) -> None:
        """Judge rows of one partition; those that need a sum are kept for a while."""
        if self._spans is None or self._spans[0] != partition:
            self._spans = partition, self._kept.spans(partition)
        numbers, epochs = self._spans[1].find(rows.offsets)
        self.unjudged += int((numbers == NONE).sum())
        self.told += int((epochs == TOLD).sum())
        known = (numbers != NONE) & (epochs != TOLD)
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
        by_money = np.isin(rows.verdicts, (POSTED, NO_FUNDS, OUT_OF_RANGE))
        wrong = np.where(money, ~by_money, rows.verdicts != wanted)
        for row in np.flatnonzero(wrong).tolist():
            self._broken(
                partition,
                int(rows.offsets[row]),
                int(rows.verdicts[row]),
                f"{NAMES[int(wanted[row])]} was right",
            )
        self._keep(heard, money & ~wrong)
        if sum(len(rows.accounts) for rows in self._open) > OPEN_ROWS_MAX:
            self.sum_up()

    def sum_later(self, rows: Open) -> None:
        """Rows that need a sum; it is taken with others."""
        self._open.append(rows)
        if sum(len(each.accounts) for each in self._open) > OPEN_ROWS_MAX:
            self.sum_up()

    def sum_up(self) -> None:
        """Judge what is open, by all that moved the money of its accounts."""
        if not self._open:
            return
        columns = zip(*self._open, strict=True)
        left = Open(*(np.concatenate(column) for column in columns))
        self._open.clear()
        kept = self._kept
        for rows, least, most in available(left, kept.events, kept.decisions):
            # A sum that was remembered is older, so smaller than at the end: an
            # approval by it is right. Funds are missed by one that was read since the
            # beginning, so by the least that it can have been.
            right = np.select(
                [
                    (rows.verdicts == POSTED) | (rows.verdicts == CHANGED),
                    rows.verdicts == NO_FUNDS,
                    rows.verdicts == CLOSES,
                    rows.verdicts == NOT_EMPTY,
                ],
                [most >= rows.amounts, least < rows.amounts, most == 0, most != 0],
                most > SUM_MAX,
            )
            has = np.where(rows.verdicts == NO_FUNDS, least, most)
            for row in np.flatnonzero(~right).tolist():
                self._broken(
                    int(rows.partitions[row]),
                    int(rows.offsets[row]),
                    int(rows.verdicts[row]),
                    f"account {int(rows.accounts[row])} had {int(has[row])} available, "
                    f"and {int(rows.amounts[row])} was asked for",
                )

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
        posted = money & (rows.verdicts == POSTED)
        limits = self._terms.limits[payers]
        before = rows.debits_after - np.where(posted, rows.amounts, 0)
        for row in np.flatnonzero(posted & (before > SUM_MAX)).tolist():
            why = f"account {int(rows.payers[row])} had paid {int(before[row])} before"
            self._broken(partition, int(rows.offsets[row]), POSTED, why)
        covered = rows.amounts <= limits - before  # if nobody had ever paid the payer
        no_funds = money & (rows.verdicts == NO_FUNDS)
        full = money & (rows.verdicts == OUT_OF_RANGE) & (before <= SUM_MAX)
        for mask, accounts, change in (
            ((posted & ~covered) | no_funds, rows.payers, payers),
            (full, rows.payees, payees),
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

    def _broken(self, partition: int, offset: int, verdict: int, why: str) -> None:
        where = f"{self._topic}[{partition}]@{offset}"
        self._evidence.broken("I11", f"{where} is {NAMES[verdict]}, but {why}")
