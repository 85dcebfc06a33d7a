"""The accounts that pay in the demo and in the load tests."""

from __future__ import annotations

from local.platform.platform import Platform

ACCOUNTS, MERCHANTS = 100_000, 100
CREDIT_LIMIT = 800_00  # minor units: enough for most, not for all


def set_up(platform: Platform, credit_limit: int = CREDIT_LIMIT) -> None:
    """Ledger, schemas, topics and these accounts; what is there stays."""
    platform.set_up()
    platform.open_accounts(1, ACCOUNTS, credit_limit)
    platform.open_accounts(ACCOUNTS + 1, MERCHANTS, 0)
