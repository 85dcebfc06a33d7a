"""A platform of its own for every test, on the session's one stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from local.platform import Platform
from local.stack import Stack
from producers.store.account_changes import AccountChange, ChangeChunk
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.settings import StoreSettings
from producers.store.stream import Stream, open_stream
from producers.store.transfers import Chunk, Transfer, now_ms
from tests.seeding import seed_accounts

PAYERS, MERCHANTS, CREDIT_LIMIT = 100, 10, 1_000_000
PARTITIONS = 3


@contextmanager
def a_platform(stack: Stack, logs: Path) -> Iterator[Platform]:
    """Accounts 1..100 may spend a million cents each; 101..110 are merchants."""
    platform = Platform(stack, uuid4().hex[:8], logs)
    platform.set_up(partitions=PARTITIONS)
    seed_accounts(platform, 1, PAYERS, CREDIT_LIMIT)
    seed_accounts(platform, PAYERS + 1, MERCHANTS, 0)
    try:
        yield platform
    finally:
        platform.remove()


@pytest.fixture
def platform(stack: Stack, tmp_path: Path) -> Iterator[Platform]:
    """A platform of the test's own."""
    with a_platform(stack, tmp_path) as platform:
        yield platform


def store_settings(platform: Platform, instance: str = "test") -> StoreSettings:
    """Settings of a Store in this process."""
    return StoreSettings(
        bootstrap_servers=platform.stack.endpoints.bootstrap_servers,
        registry_url=platform.stack.endpoints.registry_url,
        instance=f"{platform.name}-{instance}",
        topic=platform.topic,
    )


@contextmanager
def a_store(platform: Platform, instance: str = "test") -> Iterator[Stream]:
    """A Store in this process."""
    with open_stream(store_settings(platform, instance)) as store:
        yield store


def emit(platform: Platform, *lines: Transfer, ack_log: Path | None = None) -> None:
    """Emit these transfers in one Kafka transaction, acknowledged on return."""
    with ExitStack() as stack:
        store = stack.enter_context(a_store(platform))
        log = stack.enter_context(AcknowledgementLog(ack_log))
        store.emit([Chunk.of(lines)], log)


def emit_changes(platform: Platform, *changes: AccountChange) -> None:
    """Emit these changes of accounts in one Kafka transaction."""
    with a_store(platform) as store, AcknowledgementLog(None) as log:
        store.emit([ChangeChunk(changes)], log)


def change(account: int, **asked: object) -> AccountChange:
    """A change of an account; what it asks for is `asked`."""
    return AccountChange.model_validate(
        {
            "change_id": uuid4(),
            "account": account,
            "reason": "a test",
            "changed_by": "ada",
            "created_at_ms": now_ms(),
            **asked,
        }
    )


def transfer(
    payer: int = 1, payee: int = 101, amount: int = 100, **more: object
) -> Transfer:
    """A transfer that would be posted, unless `more` says otherwise."""
    return Transfer.model_validate(
        {
            "transfer_id": uuid4(),
            "debit_account": payer,
            "credit_account": payee,
            "amount": amount,
            "currency": "EUR",
            **more,
        }
    )


def verdict(platform: Platform, transfer_id: UUID) -> str | None:
    """The verdict in the ledger, or None when the id is not there."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT verdict FROM ledger WHERE transfer_id = %s", (transfer_id,)
        ).fetchone()
    return row[0] if row else None


def balance(platform: Platform, account: int) -> int:
    """Credits minus debits, in cents."""
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute(
            "SELECT balance FROM balances WHERE account = %s", (account,)
        ).fetchone()
    assert row is not None, f"account {account} does not exist"
    return int(row[0])


def health_url(log: str) -> str:
    """Where the program with this log serves its health."""
    found = re.findall(r"http://127\.0\.0\.1:\d+", log)
    assert found, f"no address in {log}"
    return str(found[0])
