"""The history of accounts in SQL, set-based: what was asked for, and what became of it.

All of it runs in one Postgres transaction that the caller commits (see posting.py).
Methods raise psycopg.Error as it comes; the caller decides what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from consumers.bank.account_rules import Outcome, Terms
from consumers.bank.batch import Slice
from consumers.bank.change import Asked
from consumers.bank.ledger import ACCOUNTS_LOCK, Held, Ledger
from consumers.bank.verdicts import REPEATS
from once.pgbinary import Int8Array, UuidArray


@dataclass(frozen=True, slots=True)
class Known:
    """What the history has under one change_id."""

    partition: int
    record_offset: int
    verdict: int
    asked: Asked


class AccountHistory:
    """The statements about accounts, on the connection of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._connection: psycopg.Connection = ledger.connection

    def hold_alone(self) -> Held:
        """Wait for every batch in flight, and let none begin until COMMIT."""
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (ACCOUNTS_LOCK,))
        return self._ledger.hold_accounts()

    def terms(self, numbers: Sequence[int]) -> dict[int, Terms]:
        """How those of the accounts that exist stand."""
        rows = self._connection.execute(
            "SELECT account, currency, status, credit_limit, coalesce((SELECT"
            " sum(credits) FROM credits WHERE credits.account = accounts.account), 0)"
            " - debits FROM accounts WHERE account = ANY (%s)",
            (list(numbers),),
        )
        return {
            number: Terms(currency, status, limit, int(balance))
            for number, currency, status, limit, balance in rows
        }

    def known(self, change_ids: Sequence[bytes]) -> dict[bytes, Known]:
        """What is in the history of these ids."""
        rows = self._connection.execute(
            "SELECT change_id, partition, record_offset, verdict, account, must_be_new,"
            " new_currency, new_credit_limit, new_status, reason, changed_by"
            " FROM account_changes WHERE change_id = ANY (%b)",
            (UuidArray(change_ids),),
        )
        return {
            row[0].bytes: Known(row[1], row[2], row[3], Asked(*row[4:])) for row in rows
        }

    def insert(
        self, slices: Sequence[Slice], outcomes: Sequence[Sequence[Outcome]], epoch: int
    ) -> None:
        """Keep every change that is no repeat; its trigger changes the accounts."""
        rows = [
            (piece.partition, offset, change, outcome)
            for piece, mine in zip(slices, outcomes, strict=True)
            for offset, change, outcome in zip(
                piece.offsets, piece.changes, mine, strict=True
            )
            if outcome.verdict not in REPEATS
        ]
        if not rows:
            return
        asked = [change.asked for _, _, change, _ in rows]
        after = [outcome.terms for *_, outcome in rows]
        self._connection.execute(
            "INSERT INTO account_changes (partition, record_offset, change_id, verdict,"
            " created_at_ms, account, must_be_new, new_currency, new_credit_limit,"
            " new_status, reason, changed_by, currency, credit_limit, status, epoch)"
            " SELECT u.*, %s FROM unnest(%b::bigint[], %b::bigint[], %b, %b::bigint[],"
            "  %b::bigint[], %b::bigint[], %s::bool[], %s::text[], %s::bigint[],"
            "  %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],"
            "  %s::text[]) AS u",
            (
                epoch,
                Int8Array([partition for partition, *_ in rows]),
                Int8Array([offset for _, offset, _, _ in rows]),
                UuidArray([change.change_id for _, _, change, _ in rows]),
                Int8Array([outcome.verdict for *_, outcome in rows]),
                Int8Array([change.created_at_ms for _, _, change, _ in rows]),
                Int8Array([each.account for each in asked]),
                [each.must_be_new for each in asked],
                [each.currency for each in asked],
                [each.credit_limit for each in asked],
                [each.status for each in asked],
                [each.reason for each in asked],
                [each.changed_by for each in asked],
                [each.currency if each else None for each in after],
                [each.credit_limit if each else None for each in after],
                [each.status if each else None for each in after],
            ),
        )
