"""Entries of a backlog, for the tests of both kinds."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from producers.store.backlog import Entry
from producers.store.transfers import Transfer

SECONDS_MAX = 20  # for what should take none


def entry(client: str = "ada", **fields: object) -> Entry:
    values: dict[str, object] = {
        "transfer_id": uuid4(),
        "debit_account": 1,
        "credit_account": 2,
        "amount": 250,
        "currency": "EUR",
        **fields,
    }
    return Entry.of(Transfer.model_validate(values), client)


def entries(count: int) -> list[Entry]:
    return [entry() for _ in range(count)]


def ids(of: Sequence[Entry]) -> list[bytes]:
    return [each.receipt.transfer_id for each in of]
