"""The rules of money: which transfers are posted, in the order of their offsets.

Pure: no I/O, no clock, the standard library only. `decide` changes the accounts that it
is given as it goes; `undo` takes exactly that back. Both are checked against a plain
one-transfer-at-a-time oracle in tests/property/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumers.bank.verdicts import Verdict

AMOUNT_MAX = 10**12  # minor units: ten thousand million of most currencies

# No sum of an account grows beyond this and one amount more: turnover is debits, and
# available is credits - debits + limit, so credits stay below twice as much and all of
# them within 64 bits.
SUM_MAX = 4 * 10**18

OPEN, FROZEN, CLOSED = "open", "frozen", "closed"

POSTED = int(Verdict.POSTED)

# What a repeat of a transfer_id must have in common with the first one:
# debit_account, credit_account, amount, currency, memo.
Payload = tuple[int, int, int, bytes, str]


class Account:
    """What a decision needs to know of one account.

    `available` = credits - debits + limit. Credits of other workers may be missing from
    it, unless it was read just now. An older sum can only be too small, so an approval
    on it is safe and a decline is not.
    """

    __slots__ = ("currency", "status", "open_currency", "available", "debits")

    def __init__(self, currency: bytes, status: str, available: int, debits: int):
        self.currency = currency
        self.status = status
        self.open_currency = currency if status == OPEN else None
        self.available = available
        self.debits = debits


@dataclass(slots=True)
class Transfers:
    """Well-formed transfers of one partition, in offset order, by the column."""

    partition: int
    transfer_ids: Sequence[bytes]
    debit_accounts: Sequence[int]
    credit_accounts: Sequence[int]
    amounts: Sequence[int]
    currencies: Sequence[bytes]
    memos: Sequence[str]

    def payload(self, row: int) -> Payload:
        """What a repeat is compared by."""
        return (
            self.debit_accounts[row],
            self.credit_accounts[row],
            self.amounts[row],
            self.currencies[row],
            self.memos[row],
        )


@dataclass(slots=True)
class Decision:
    """The verdicts on some partitions' transfers and what they change, in sums."""

    verdicts: list[list[int]] = field(default_factory=list)
    debits_after: list[list[int]] = field(default_factory=list)
    debits: dict[int, int] = field(default_factory=dict)
    credits: dict[int, dict[int, int]] = field(default_factory=dict)
    short: set[int] = field(default_factory=set)  # accounts declined for want of funds


def decide(
    batch: Sequence[Transfers],
    accounts: Mapping[int, Account],
    known: Mapping[bytes, Payload],
) -> Decision:
    """Decide every transfer in the order given; `accounts` follow.

    `known` has the payload of every transfer_id of the batch that is in the ledger
    already. An account that is missing from `accounts` does not exist.
    """
    decision = Decision()
    repeated = _repeated_within(batch)
    seen: dict[bytes, Payload | None] = dict.fromkeys(repeated)
    seen.update(known)
    for transfers in batch:
        _decide_partition(transfers, accounts, seen, decision)
    return decision


def replay(
    batch: Sequence[Transfers],
    accounts: Mapping[int, Account],
    verdicts: Sequence[Sequence[int]],
) -> Decision:
    """Apply verdicts that were told before, whatever one would decide now.

    `verdicts` has one per transfer. Raises KeyError (an account number) when a posted
    transfer names an account that is not in `accounts`.
    """
    decision = Decision(verdicts=[list(mine) for mine in verdicts])
    debits = decision.debits
    for transfers, mine in zip(batch, verdicts, strict=True):
        after: list[int] = []
        credits = decision.credits.setdefault(transfers.partition, {})
        for payer, payee, amount, verdict in zip(
            transfers.debit_accounts,
            transfers.credit_accounts,
            transfers.amounts,
            mine,
            strict=True,
        ):
            if verdict == POSTED:
                debit, credit = accounts[payer], accounts[payee]
                debit.available -= amount
                debit.debits += amount
                credit.available += amount
                debits[payer] = debits.get(payer, 0) + amount
                credits[payee] = credits.get(payee, 0) + amount
            known = accounts.get(payer)
            after.append(0 if known is None else known.debits)
        decision.debits_after.append(after)
    return decision


def undo(decision: Decision, accounts: Mapping[int, Account]) -> None:
    """Bring `accounts` back to what they were before `decide`."""
    for number, total in decision.debits.items():
        accounts[number].debits -= total
        accounts[number].available += total
    for sums in decision.credits.values():
        for number, total in sums.items():
            accounts[number].available -= total


def verdict_on_repeat(first: Payload, again: Payload) -> int:
    """The verdict on a record whose transfer_id is taken by another record."""
    if first == again:
        return int(Verdict.EXISTS)
    return int(Verdict.EXISTS_WITH_DIFFERENT_PAYLOAD)


def _repeated_within(batch: Sequence[Transfers]) -> set[bytes]:
    """The transfer_ids that occur more than once in this batch."""
    total = sum(len(transfers.transfer_ids) for transfers in batch)
    once: set[bytes] = set()
    for transfers in batch:
        once.update(transfers.transfer_ids)
    if len(once) == total:
        return set()
    once.clear()
    repeated: set[bytes] = set()
    for transfers in batch:
        for transfer_id in transfers.transfer_ids:
            (repeated if transfer_id in once else once).add(transfer_id)
    return repeated


def _decide_partition(
    transfers: Transfers,
    accounts: Mapping[int, Account],
    seen: dict[bytes, Payload | None],
    decision: Decision,
) -> None:
    verdicts: list[int] = []
    after: list[int] = []
    debits = decision.debits
    credits = decision.credits.setdefault(transfers.partition, {})
    account = accounts.get
    for row, (transfer_id, payer, payee, amount, currency) in enumerate(
        zip(
            transfers.transfer_ids,
            transfers.debit_accounts,
            transfers.credit_accounts,
            transfers.amounts,
            transfers.currencies,
            strict=True,
        )
    ):
        debit, credit = account(payer), account(payee)
        if seen and transfer_id in seen:
            first = seen[transfer_id]
            if first is not None:
                verdicts.append(verdict_on_repeat(first, transfers.payload(row)))
                after.append(0)
                continue
            seen[transfer_id] = transfers.payload(row)
        if (
            debit is not None
            and credit is not None
            and debit is not credit
            and debit.open_currency == currency == credit.open_currency
            and 0 < amount <= AMOUNT_MAX
            and amount <= debit.available
            and debit.debits <= SUM_MAX
            and credit.available <= SUM_MAX
        ):
            debit.available -= amount
            debit.debits += amount
            credit.available += amount
            debits[payer] = debits.get(payer, 0) + amount
            credits[payee] = credits.get(payee, 0) + amount
            verdicts.append(POSTED)
        else:
            verdict = _decline(debit, credit, amount, currency, payer == payee)
            if verdict == Verdict.DECLINED_INSUFFICIENT_FUNDS:
                decision.short.add(payer)
            verdicts.append(int(verdict))
        after.append(0 if debit is None else debit.debits)
    decision.verdicts.append(verdicts)
    decision.debits_after.append(after)


def _decline(
    debit: Account | None,
    credit: Account | None,
    amount: int,
    currency: bytes,
    same: bool,
) -> Verdict:
    """Why a transfer is not posted: the first reason in this order."""
    if same:
        return Verdict.DECLINED_SAME_ACCOUNT
    if not 0 < amount <= AMOUNT_MAX:
        return Verdict.DECLINED_AMOUNT_OUT_OF_RANGE
    if debit is None or credit is None:
        return Verdict.DECLINED_UNKNOWN_ACCOUNT
    if CLOSED in (debit.status, credit.status):
        return Verdict.DECLINED_ACCOUNT_CLOSED
    if FROZEN in (debit.status, credit.status):
        return Verdict.DECLINED_ACCOUNT_FROZEN
    if not debit.currency == currency == credit.currency:
        return Verdict.DECLINED_CURRENCY_MISMATCH
    if amount > debit.available:
        return Verdict.DECLINED_INSUFFICIENT_FUNDS
    return Verdict.DECLINED_AMOUNT_OUT_OF_RANGE  # more than a sum can bear
