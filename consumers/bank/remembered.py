"""Accounts that a worker remembers between batches: those of its partitions, mostly.

Postgres stays the judge: debits are compared as they are changed, and whoever changes
an account raises the epoch (docs/adr/0002-accounts-epoch.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from consumers.bank.batch import Slice
from consumers.bank.ledger import Held, Ledger
from consumers.bank.rules import Account

ACCOUNTS_REMEMBERED_MAX = 250_000  # about 60 MB


class Remembered:
    """Accounts by number, read when they are named. Methods raise psycopg.Error."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.accounts: dict[int, Account] = {}
        # Those that the last two batches named.
        self._named: tuple[set[int], set[int]] = (set(), set())
        self._changed = 0  # the last change of an account that we know of

    def hold(self) -> Held:
        """Keep accounts from being changed until COMMIT; forget what has changed."""
        held = self._ledger.hold_accounts()
        if held.changed != self._changed:
            self.accounts.clear()
        elif len(self.accounts) > ACCOUNTS_REMEMBERED_MAX:
            self._drop_cold()
        self._changed = held.changed
        return held

    def load(self, slices: Sequence[Slice]) -> set[int]:
        """Read the accounts that are not remembered; which those were."""
        named: set[int] = set()
        for piece in slices:
            named.update(piece.transfers.debit_accounts)
            named.update(piece.transfers.credit_accounts)
        self._named = (self._named[1], named)
        missing = named.difference(self.accounts)
        self.look_at(missing)
        return missing

    def look_at(self, numbers: Collection[int]) -> None:
        """Read these again, as they are now."""
        if numbers:
            self.accounts.update(self._ledger.accounts(list(numbers)))

    def drop(self, numbers: Collection[int]) -> None:
        """Read these afresh when they are named next."""
        for number in numbers:
            self.accounts.pop(number, None)

    def _drop_cold(self) -> None:
        """Keep the accounts that both last batches named: the popular ones."""
        one, other = self._named
        self.accounts = {
            number: self.accounts[number]
            for number in one & other
            if number in self.accounts
        }
