"""Who a client is, and what its token lets it do: scopes, and accounts to debit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from producers.store.problems import Kind, Problem

WRITE, READ = "transfers:write", "transfers:read"
ACCOUNTS = "accounts:write"
ANY_ACCOUNT = "transfers:any-account"
ACCOUNTS_MAX = 1_000  # numbers and ranges in one token
_RANGE = re.compile("([0-9]{1,19})-([0-9]{1,19})")

Accounts = tuple[tuple[int, int], ...]  # from, to; both included


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request, and what they may do."""

    name: str
    scopes: frozenset[str]
    expires_at: float
    accounts: Accounts | None = None  # None: any

    def require(self, scope: str) -> None:
        """Raises Problem when the token lacks this scope."""
        if scope not in self.scopes:
            raise Problem(
                Kind.FORBIDDEN,
                f"This needs a token with scope {scope}.",
                challenge=f'Bearer error="insufficient_scope", scope="{scope}"',
            )

    def require_account(self, account: int, to: str = "debit") -> None:
        """Raises Problem when the token does not let its client debit this account."""
        if self.accounts is None:
            return
        if not any(first <= account <= last for first, last in self.accounts):
            raise Problem(
                Kind.NOT_YOUR_ACCOUNT,
                f"Your token does not name account {account} to {to}.",
                challenge='Bearer error="insufficient_scope"',
            )


ANYONE = Client(
    "", frozenset((WRITE, READ, ACCOUNTS)), float("inf")
)  # where no tokens are asked


def accounts_of(claim: object) -> Accounts:
    """The ranges of a claim such as [1, "100-199"]. Raises ValueError."""
    wrong = ValueError(
        f"its claim accounts is no list of up to {ACCOUNTS_MAX} numbers and 'from-to'"
    )
    if not isinstance(claim, list) or len(claim) > ACCOUNTS_MAX:
        raise wrong
    ranges: list[tuple[int, int]] = []
    for each in claim:
        if isinstance(each, int) and not isinstance(each, bool):
            ranges.append((each, each))
        elif isinstance(each, str) and (found := _RANGE.fullmatch(each)):
            ranges.append((int(found[1]), int(found[2])))
        else:
            raise wrong
    return tuple(ranges)
