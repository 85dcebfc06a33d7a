"""Opening accounts: an act of administration, by the owner of the ledger."""

from __future__ import annotations

import psycopg

from once.postgres import from_postgres

CREDIT_LIMIT_MAX = 10**18  # as in the ledger's own check: sums must fit beside it
ACCOUNTS_AT_ONCE = 10_000

_NEW = (
    "SELECT number FROM generate_series(%s::bigint, %s::bigint) AS number"
    " WHERE NOT EXISTS (SELECT FROM accounts WHERE account = number)"
)
_OPEN = (
    "INSERT INTO accounts (account, currency, credit_limit)"
    " SELECT account, %s, %s FROM unnest(%s::bigint[]) AS account"
    " ON CONFLICT DO NOTHING"
)


def open_accounts(
    conninfo: str, first: int, count: int, currency: str, credit_limit: int
) -> int:
    """Open accounts `first`..`first + count - 1`; how many were new.

    An account that exists already stays as it is. Batches wait for an opening, so many
    are opened in pieces, each with a COMMIT of its own. Raises Retriable or Defect.
    """
    opened = 0
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            for start in range(first, first + count, ACCOUNTS_AT_ONCE):
                until = min(start + ACCOUNTS_AT_ONCE, first + count)
                new = connection.execute(_NEW, (start, until - 1)).fetchall()
                if new:
                    numbers = [number for (number,) in new]
                    values = (currency, credit_limit, numbers)
                    opened += connection.execute(_OPEN, values).rowcount
    except psycopg.Error as error:
        raise from_postgres(error, "opening accounts") from error
    return opened
