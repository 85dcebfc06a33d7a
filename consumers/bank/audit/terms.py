"""What each account might do at each time: the history of its openings and changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from consumers.bank.audit.judged import Numbers

STATUSES = ("open", "frozen", "closed", "removed")
OPEN, FROZEN, CLOSED, REMOVED = range(len(STATUSES))
UNKNOWN = -1  # the last place, behind all changes
BEYOND = np.iinfo(np.int64).max  # no account has this number


class Terms:
    """Looks up which change of an account held in an epoch.

    `currencies`, `statuses` and `limits` are by the number of a change; that of
    `UNKNOWN` is whatever, and means nothing.
    """

    def __init__(
        self,
        accounts: Numbers,
        epochs: Numbers,
        statuses: Numbers,
        limits: Numbers,
        currencies: npt.NDArray[np.bytes_],
    ) -> None:
        """All changes, in the order of account and epoch."""
        self._accounts = np.append(accounts, BEYOND)
        self._epochs = np.append(epochs, 0)
        self.statuses = np.append(statuses, REMOVED)
        self.limits = np.append(limits, 0)
        self.currencies = np.append(currencies, np.array([b""], "S3"))

    def at(self, accounts: Numbers, epochs: Numbers) -> Numbers:
        """The number of the change that held for each, UNKNOWN where there was none."""
        found: Numbers = np.searchsorted(self._accounts, accounts, "right") - 1
        later = np.flatnonzero((found >= 0) & (self._epochs[found] > epochs))
        while len(later):  # back to the change that held then: few rows, few steps
            found[later] -= 1
            there = (found[later] >= 0) & (self._epochs[found[later]] > epochs[later])
            there &= self._accounts[found[later]] == accounts[later]
            later = later[there]
        there = (found >= 0) & (self._accounts[found] == accounts)
        there &= self.statuses[found] != REMOVED
        return np.where(there, found, UNKNOWN)
