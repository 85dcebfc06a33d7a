"""Accounts for tests that are about something else: there before the log begins.

As those that were opened by hand before accounts came through the log. Only whoever
may switch triggers off can write them so.
"""

from __future__ import annotations

import psycopg

from local.platform import Platform

_SEED = """
WITH new AS (
    INSERT INTO accounts (account, currency, status, credit_limit)
    SELECT number, %(currency)s, %(status)s, %(limit)s
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
    ON CONFLICT DO NOTHING RETURNING *
)
INSERT INTO account_changes (account, epoch, currency, status, credit_limit, changed_by)
SELECT account, 1, currency, status, credit_limit, 'a test' FROM new
"""
_KNOWN = (
    "UPDATE accounts_epoch SET by_hand_until ="
    " (SELECT coalesce(max(change), 0) FROM account_changes)"
)


def almighty(platform: Platform) -> psycopg.Connection:
    """A connection that no trigger of the ledger sees."""
    conninfo = platform.stack.conninfo(user="postgres", dbname=platform.dbname)
    connection = psycopg.connect(conninfo, autocommit=True)
    connection.execute("SET session_replication_role = replica")
    return connection


def seed_accounts(
    platform: Platform,
    first: int,
    count: int,
    credit_limit: int,
    *,
    currency: str = "EUR",
    status: str = "open",
) -> None:
    """Accounts first..first+count-1; those that exist stay as they are."""
    with almighty(platform) as connection:
        connection.execute(
            _SEED,
            {
                "first": first,
                "last": first + count - 1,
                "currency": currency,
                "limit": credit_limit,
                "status": status,
            },
        )
        connection.execute(_KNOWN)
