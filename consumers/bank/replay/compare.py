"""Both ledgers, table by table: a hash for each window of rows, and then the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

WINDOW = 65_536
SHOWN_MAX = 5  # rows of a table


@dataclass(frozen=True, slots=True)
class Compared:
    """A table, or what is worked out of one: its rows by place, `group` and `at`."""

    name: str
    group: str
    at: str
    columns: str
    source: str


# Not compared: when a row was written, and what numbers rows in the order of writing.
COMPARED = (
    Compared(
        "transfers",
        "partition",
        "record_offset",
        "transfer_id, verdict, debit_account, credit_account, amount, currency, memo,"
        " created_at_ms, debits_after",
        "transfers",
    ),
    Compared(
        "account_changes",
        "partition",
        "record_offset",
        "change_id, verdict, account, must_be_new, new_currency, new_credit_limit,"
        " new_status, currency, status, credit_limit, reason, changed_by,"
        " created_at_ms",
        "account_changes",
    ),
    Compared(
        "accounts",
        "0",
        "account",
        "currency, status, credit_limit, debits, credits",
        "balances",
    ),
    Compared(
        "quarantine",
        "partition",
        "record_offset",
        "topic, record_key, record_value",
        "quarantine",
    ),
    Compared(
        "batches",
        "partition",
        "batch_number",
        "topic, first_offset, last_offset, records, posted, declined, hash",
        "all_batches",
    ),
    Compared(
        "positions",
        "partition",
        "next_offset",
        "topic, batch_number, hash, hash_offset, last_digest",
        "positions",
    ),
    Compared("emitters", "partition", "next_sequence", "emitter", "emitters"),
    Compared(
        "emitter_gaps",
        "partition",
        "record_offset",
        "emitter, expected_sequence, found_sequence",
        "emitter_gaps",
    ),
)


def differences(
    first: psycopg.Connection, second: psycopg.Connection, of: Compared
) -> list[str]:
    """What of a table differs, some rows of it by name. Raises psycopg.Error."""
    one, other = (_windows(each, of) for each in (first, second))
    windows = sorted(w for w in {*one, *other} if one.get(w) != other.get(w))
    if not windows:
        return []
    found = [f"{of.name}: {len(windows)} of {len({*one, *other})} windows differ"]
    return found + list(_rows(first, second, of, windows[0]))


def counted(connection: psycopg.Connection, of: Compared) -> int:
    """How many rows there are. Raises psycopg.Error."""
    return sum(count for count, _ in _windows(connection, of).values())


def _windows(
    connection: psycopg.Connection, of: Compared
) -> dict[tuple[int, int], tuple[int, int]]:
    rows = connection.execute(
        f"SELECT {of.group}, {of.at} / {WINDOW}, count(*),"
        f" sum(hashtextextended(({of.at}, {of.columns})::text, 0)::numeric)"
        f" FROM {of.source} GROUP BY 1, 2".encode()
    )
    return {
        (group, window): (count, int(total)) for group, window, count, total in rows
    }


def _rows(
    first: psycopg.Connection,
    second: psycopg.Connection,
    of: Compared,
    window: tuple[int, int],
) -> Iterator[str]:
    one, other = (_read(each, of, window) for each in (first, second))
    places = sorted(p for p in {*one, *other} if one.get(p) != other.get(p))
    for place in places[:SHOWN_MAX]:
        here, there = (side.get(place, "nothing") for side in (one, other))
        where = f"{of.name}[{window[0]}] {of.at} {place}"
        yield f"{where}: {here} in the first, {there} in the second"


def _read(
    connection: psycopg.Connection, of: Compared, window: tuple[int, int]
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for place, row in connection.execute(
        f"SELECT {of.at}, ({of.columns})::text FROM {of.source}"
        f" WHERE {of.group} = %s AND {of.at} / {WINDOW} = %s ORDER BY 1, 2".encode(),
        window,
    ):
        found.setdefault(place, []).append(row)
    return found
