"""The rules of accounts: which changes take effect, in the order of their offsets.

Pure, as rules.py is. A change is decided while no batch of transfers is under way, so
what it sees is all that there is: balances are exact, and nobody's approval is in
flight. Checked against a plain oracle in tests/property/test_account_rules.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from consumers.bank.change import Asked, Change
from consumers.bank.rules import CLOSED, OPEN
from consumers.bank.verdicts import Verdict

CREDIT_LIMIT_MAX = 10**18  # minor units; as in the ledger's own check


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account may do, and what is on it (credits - debits)."""

    currency: str
    status: str
    credit_limit: int
    balance: int


class Outcome(NamedTuple):
    """The verdict on a change, and how its account stands afterwards.

    `terms` is None when there is no such account.
    """

    verdict: int
    terms: Terms | None


def decide_changes(
    changes: Sequence[Change],
    accounts: Mapping[int, Terms],
    known: Mapping[bytes, Asked],
) -> list[Outcome]:
    """Decide every change in the order given.

    `known` has what was asked under each change_id that is in the ledger already. An
    account that is missing from `accounts` does not exist.
    """
    now, seen = dict(accounts), dict(known)
    outcomes: list[Outcome] = []
    for change in changes:
        asked, number = change.asked, change.asked.account
        if change.change_id in seen:
            verdict = _on_repeat(seen[change.change_id], asked)
        else:
            verdict = _verdict(asked, now.get(number))
            seen[change.change_id] = asked
        if verdict == Verdict.CHANGED:
            now[number] = changed(asked, now.get(number))
        outcomes.append(Outcome(int(verdict), now.get(number)))
    return outcomes


def take_changes(
    changes: Sequence[Change],
    accounts: Mapping[int, Terms],
    verdicts: Sequence[int],
) -> list[Outcome]:
    """Take verdicts that were told before, whatever one would decide now.

    Raises ValueError when an account was opened by a change that names no currency.
    """
    now = dict(accounts)
    outcomes: list[Outcome] = []
    for change, verdict in zip(changes, verdicts, strict=True):
        number = change.asked.account
        if verdict == Verdict.CHANGED:
            now[number] = changed(change.asked, now.get(number))
        outcomes.append(Outcome(verdict, now.get(number)))
    return outcomes


def changed(asked: Asked, before: Terms | None) -> Terms:
    """How an account stands after a change that takes effect.

    Raises ValueError when nothing could be opened: no currency was said.
    """
    if before is None:
        if asked.currency is None:
            raise ValueError(f"account {asked.account} is opened without a currency")
        return Terms(
            asked.currency, asked.status or OPEN, asked.credit_limit or 0, balance=0
        )
    limit = asked.credit_limit
    return replace(
        before,
        status=asked.status or before.status,
        credit_limit=before.credit_limit if limit is None else limit,
    )


def _on_repeat(first: Asked, again: Asked) -> Verdict:
    if first == again:
        return Verdict.EXISTS
    return Verdict.EXISTS_WITH_DIFFERENT_PAYLOAD


def _verdict(asked: Asked, before: Terms | None) -> Verdict:
    """Whether a change takes effect, or the first reason in this order."""
    if not 0 <= (asked.credit_limit or 0) <= CREDIT_LIMIT_MAX:
        return Verdict.DECLINED_AMOUNT_OUT_OF_RANGE
    if before is None:
        opens = asked.currency is not None
        return Verdict.CHANGED if opens else Verdict.DECLINED_UNKNOWN_ACCOUNT
    if asked.must_be_new:
        return Verdict.DECLINED_ACCOUNT_EXISTS
    if before.status == CLOSED:
        return Verdict.DECLINED_ACCOUNT_CLOSED
    if asked.currency not in (None, before.currency):
        return Verdict.DECLINED_CURRENCY_MISMATCH
    after = changed(asked, before)
    if after.status == CLOSED:
        empty = before.balance == 0
        return Verdict.CHANGED if empty else Verdict.DECLINED_ACCOUNT_NOT_EMPTY
    if after.credit_limit < before.credit_limit and after.balance < -after.credit_limit:
        return Verdict.DECLINED_INSUFFICIENT_FUNDS
    return Verdict.CHANGED
