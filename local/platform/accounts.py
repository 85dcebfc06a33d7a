"""The accounts that pay in the demo and in the load tests: opened as any are."""

from __future__ import annotations

import psycopg

from local.platform.platform import Platform

ACCOUNTS, MERCHANTS = 100_000, 100
CREDIT_LIMIT = 800_00  # minor units: enough for most, not for all


def set_up(platform: Platform, credit_limit: int = CREDIT_LIMIT) -> None:
    """Ledger, schemas, topics and these accounts; what is there stays.

    Accounts come through the log, so a Bank runs until they are open.
    """
    platform.set_up()
    if _all_there(platform):
        return
    with platform.bank("set-up") as bank:
        platform.open_accounts(1, ACCOUNTS, credit_limit)
        platform.open_accounts(ACCOUNTS + 1, MERCHANTS, 0)
        bank.terminate()


def _all_there(platform: Platform) -> bool:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM accounts WHERE account BETWEEN 1 AND %s",
            (ACCOUNTS + MERCHANTS,),
        ).fetchone()
    return row == (ACCOUNTS + MERCHANTS,)
