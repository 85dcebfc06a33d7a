"""Opening accounts: an act of administration, by the owner of the ledger."""

from __future__ import annotations

import psycopg

from once.postgres import from_postgres

CREDIT_LIMIT_MAX = 10**18  # as in the ledger's own check: sums must fit beside it


def open_accounts(
    conninfo: str, first: int, count: int, currency: str, credit_limit: int
) -> int:
    """Open accounts `first`..`first + count - 1`; how many were new.

    An account that exists already stays as it is. Raises Retriable or Defect.
    """
    try:
        with psycopg.connect(conninfo) as connection:
            cursor = connection.execute(
                "INSERT INTO accounts (account, currency, credit_limit)"
                " SELECT account, %s, %s"
                " FROM generate_series(%s::bigint, %s::bigint) AS account"
                " ON CONFLICT DO NOTHING",
                (currency, credit_limit, first, first + count - 1),
            )
            return cursor.rowcount
    except psycopg.Error as error:
        raise from_postgres(error, "opening accounts") from error
